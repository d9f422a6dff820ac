"""The scanner of configuration files."""
