"""Prometheus rules and Alertmanager settings, generated from contracts and settings."""
