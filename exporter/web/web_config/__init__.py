"""The web configuration file: what it may say, how it is read, the TLS it asks for, its changes while serving."""
