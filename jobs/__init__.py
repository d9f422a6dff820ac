"""The jobs: one file each. `jobs.core` says what a job is, `jobs.clients` is all it may touch."""
