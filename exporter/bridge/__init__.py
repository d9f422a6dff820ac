"""The alerting bridge: what the jobs find goes out as messages, what Alertmanager knows comes in as remediations."""
