"""The scanner of source code."""
