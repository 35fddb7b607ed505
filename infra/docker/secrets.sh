#!/bin/sh
# Random secrets for docker-compose.yml, each in a file of its own, where there is none yet. `make secrets`.
set -eu
folder="$(dirname "$0")/../secrets"
mkdir -p "$folder"
chmod 700 "$folder" # a container reads its secret's file as another user; nobody else reaches the folder
fresh() { python3 -c 'import secrets; print(secrets.token_hex(24), end="")'; }
for name in redis_password postgres_password grafana_password; do
  [ -s "$folder/$name.txt" ] || fresh >"$folder/$name.txt"
done
[ -s "$folder/redis_url.txt" ] || printf 'redis://:%s@redis:6379/0' "$(cat "$folder/redis_password.txt")" >"$folder/redis_url.txt"
chmod 644 "$folder"/*.txt
echo "secrets are in infra/secrets (Grafana: admin, and what grafana_password.txt says)"
