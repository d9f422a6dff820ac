"""What there is to see: one function for each thing that a person asks about, for the command line, the API and pages.

Each takes `Sources` and returns a plain document whose shape stands in `exporter.views.shapes`. Nothing here prints,
serves or changes anything.
"""
