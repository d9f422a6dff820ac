"""Private instances of the real services, and stand-ins for the one that cannot be had.

Every instance listens on loopback only, keeps its files in a directory of its own, and is ended by its own
process id. Nothing that runs already is looked at, used or touched.
"""
