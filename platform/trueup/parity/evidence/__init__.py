"""Everything a parity run reads: the served log, the sources, the ledger, the online store. The only I/O of parity."""
