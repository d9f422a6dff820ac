"""Scanners of files: their modes and owners, and secrets within them."""
