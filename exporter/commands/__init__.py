"""Commands that stand beside those of `exporter.cli`, one module for each group; `base` has what all of them share."""
