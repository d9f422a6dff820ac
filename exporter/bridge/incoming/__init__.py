"""Alerts in: what Alertmanager sends is read, kept once, and told of to whoever waits for it."""
