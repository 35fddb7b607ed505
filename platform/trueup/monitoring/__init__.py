"""Metrics of jobs, the scheduler that runs them, alerts and dashboards."""
