"""One sample of everything that the performance report tells of."""
