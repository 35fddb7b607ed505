"""Two Parquet tables of the same rows, compared cell by cell as `trueup.parity.compare` compares frames.

`files` reads, `keys` pairs the rows, `columns` compares one feature, `run` does it for all, `result` is what came out.
"""
