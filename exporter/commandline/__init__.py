"""What the commands in `exporter.commands` are made of."""
