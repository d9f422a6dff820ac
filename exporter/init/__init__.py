"""A first configuration: what is asked, what is found on this host, and the commented file that comes of both."""
