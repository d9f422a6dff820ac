"""The commands, one module for each, called as it is; what they are made of stands in `exporter.commandline`."""
