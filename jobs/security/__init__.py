"""The security scan: its scanners by area, and what their findings amount to."""
