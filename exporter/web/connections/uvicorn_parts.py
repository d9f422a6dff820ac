"""Of uvicorn what serves; to be loaded before anything else of it is.

Its package is its command line as well, with all that watches over several processes, and its configuration can set up
logs, which is not used here: both load more than the server itself.
"""

from exporter.memory import bare_package, without

_package = bare_package("uvicorn")

with without(logging__config=(), configparser=("RawConfigParser",)):
    from uvicorn.config import Config

_package.Config = Config  # type: ignore[attr-defined]  # other modules of it ask the package for it

from uvicorn.server import Server  # noqa: E402

__all__ = ["Config", "Server"]
