"""Of uvicorn what serves: its package is its command line as well, with all that watches over several processes."""

from exporter.spare import bare_package

_package = bare_package("uvicorn")

from uvicorn.config import Config  # noqa: E402

_package.Config = Config  # type: ignore[attr-defined]  # other modules of it ask the package for it

from uvicorn.server import Server  # noqa: E402

__all__ = ["Config", "Server"]
