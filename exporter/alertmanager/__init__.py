"""The configuration of Alertmanager, written from the exporter's settings."""
