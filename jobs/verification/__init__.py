"""Proving backups good: what there is, whether each file is whole, and whether databases can be restored."""
