"""The offline-to-online ledger: why a model's metric online is not what its holdout promised, in terms that add up."""
