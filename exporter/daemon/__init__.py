"""The daemon: what it does each second, whom it tells, and what it follows. `exporter.serving` puts it together."""

from exporter.daemon.daemon import Daemon

__all__ = ["Daemon"]
