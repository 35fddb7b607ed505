#!/bin/sh
# Once, before anything is served: features registered, the store filled, the models trained. Each step only where it was
# not done; the volumes remember.
set -eu
cd /app
if [ ! -f feature_repo/data/departures.parquet ]; then
  (cd feature_repo && python3 ingest.py)
fi
(cd feature_repo && feast apply)
# The flights ended in 2013: everything known on its last morning, and nothing that became known later.
trueup materialize --end 2013-12-31T00:00:00Z --known-at 2013-12-31T00:00:00Z
for recipe in flights flights_leaky; do
  # A champion that was trained on the definitions as they are stays; without one, or with other definitions, it is trained.
  if trueup contract diff "$recipe@champion"; then
    echo "$recipe has a champion already"
  else
    trueup train "training/recipes/$recipe.toml"
  fi
done
# What became of the flights, for the read-out and the ledger of whoever asks about them.
trueup outcomes import feature_repo/data/outcomes.parquet --outcome late --request-id flight_id --known-at created
