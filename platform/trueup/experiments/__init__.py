"""Experiments: which variant a unit gets, and what is compared."""
