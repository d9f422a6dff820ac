"""The parts of the log rotation: finding logs, moving their bytes into archives, and what is told of it."""
