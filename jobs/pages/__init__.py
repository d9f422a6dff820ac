"""Reports as pages: what a page consists of, and how it becomes one HTML file that opens from disk."""
