"""What is reachable, what is missing, and what to do about it: looked at without changing anything."""
