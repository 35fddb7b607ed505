"""What jobs found, as metrics. Names and labels are those of the catalogue (`monitoring/README.md`)."""
