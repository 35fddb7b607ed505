"""The two reads: online and as-of. Both return a `FeatureFrame`."""
