"""Processes of our own, from the outside and from the inside: runs, and couriers that send."""
