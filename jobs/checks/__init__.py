"""The checks that a health check is made of: each says how to read something and how to judge what was read."""
