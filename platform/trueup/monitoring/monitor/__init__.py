"""The scheduler: `trueup`'s own commands on their cadence, one at a time each, and what they found as metrics."""
