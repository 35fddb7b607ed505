"""Ways to show a report. Each takes the data and gives text; none computes anything."""
