"""What the ledger is made from: the only I/O of it."""
