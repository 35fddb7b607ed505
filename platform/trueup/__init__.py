"""trueup: the consistency layer for Feast."""
