"""Alerts out: what the jobs find becomes problems, problems become messages, messages go through channels."""
