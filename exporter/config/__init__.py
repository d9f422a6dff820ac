"""The configuration: where it comes from, how it is read, and what is wrong with it.

What it may hold stands in `exporter.settings`.
"""

from exporter.config.configuration import ConfigError, Configuration
from exporter.config.layers import COMMAND_LINE, CONFIG_FILE_VARIABLE
from exporter.config.loading import load

__all__ = ["COMMAND_LINE", "CONFIG_FILE_VARIABLE", "ConfigError", "Configuration", "load"]
