"""The event log: what was served, to whom, by which model, from which features. Parquet, in Feast's log schema."""
