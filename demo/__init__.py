"""A small world to break: `make demo` starts it, `make demo-break` breaks it, and both show how it is mended."""
