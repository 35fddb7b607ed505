"""Statistics of an experiment: tables in, numbers out. No file, no clock."""
