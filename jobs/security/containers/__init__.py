"""Scanners of containers and of the images that they are made from."""
