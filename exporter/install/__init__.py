"""Runs by cron or systemd, from the same cadences as the daemon: planned, shown, made and removed."""
