"""Contracts: what a feature service means, as plain values that can be hashed, stored and compared."""
