"""Runs: what is asked for, done in a process of its own, and entered into the ledger with its report."""
