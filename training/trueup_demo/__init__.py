"""The whole loop on real flights: what `trueup demo` runs."""
