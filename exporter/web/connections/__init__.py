"""Connections: the socket, the time and room that each is given, its TLS, and of uvicorn what serves it."""
