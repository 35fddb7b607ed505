"""The checks, one file each: pure over the evidence, a `Result` out."""
