"""Back to healthy: what an alert may bring about, one decision at a time, proven by a new look and written down."""
