"""Backups on disk: made by the database maintenance, proven by the backup verification."""
