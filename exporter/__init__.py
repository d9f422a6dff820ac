"""The daemon and the command line: runs jobs, keeps their ledger, and serves what they measured."""

__version__ = "0.1.0"
