"""The scanner of what can be reached over the network."""
