#!/bin/sh
# build.sh SERVICE: one of trueup's images, tagged trueup-SERVICE:$TRUEUP_TAG (latest). `make image SERVICE=serving`.
# TRUEUP_BASE_DIGEST pins the base; TRUEUP_BASE_IMAGE names another.
set -eu
service="${1:-}"
case "$service" in
  serving | jobs | training) ;;
  *)
    echo "image: SERVICE is '$service'; expected serving, jobs or training (make image SERVICE=serving)." >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/../.."
[ -n "${TRUEUP_BASE_DIGEST:-}" ] || echo "image: the base is not pinned; set TRUEUP_BASE_DIGEST=sha256:... to pin it." >&2
set -- --target "$service" --file infra/docker/Dockerfile --tag "trueup-$service:${TRUEUP_TAG:-latest}" \
  --build-arg "BASE_IMAGE=${TRUEUP_BASE_IMAGE:-docker.io/library/python:3.11-slim-bookworm}" \
  --build-arg "BASE_DIGEST=${TRUEUP_BASE_DIGEST:-}" \
  --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --build-arg "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)"
if docker version >/dev/null 2>&1; then
  exec docker build "$@" .
elif command -v buildah >/dev/null 2>&1; then
  # shellcheck disable=SC2086 # BUILDAH_FLAGS are several words
  exec buildah build --format docker --layers ${BUILDAH_FLAGS:-} "$@" .
fi
echo "image: neither a Docker engine nor buildah is here: install one (apt-get install buildah)." >&2
exit 2
