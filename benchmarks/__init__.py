"""Speed and size beside the programs that others use for the same work. `python -m benchmarks --help` says how."""
