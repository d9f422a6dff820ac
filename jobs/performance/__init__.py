"""The performance report: what is sampled, how periods compare, and what is said of it."""
