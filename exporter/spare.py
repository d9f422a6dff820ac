"""What libraries would load for this project to no use is left out: a daemon keeps for months what it has loaded."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_PYDANTIC_PLUGINS = "pydantic.plugin._loader"


def leave_out() -> None:
    """Let pydantic look for no plugins; to be called before it is loaded.

    Nothing but this package is to change what a setting means. To find out that there is no plugin, pydantic would load
    all that reads the descriptions of installed distributions (with parsers of mail, ZIP and CSV), and read them all.
    """
    no_plugins = ModuleType(_PYDANTIC_PLUGINS)
    no_plugins.get_plugins = tuple  # type: ignore[attr-defined]
    sys.modules.setdefault(_PYDANTIC_PLUGINS, no_plugins)


def bare_package(name: str) -> ModuleType:
    """A package as it is loaded already, else without what it would load itself: its modules can be loaded then."""
    spec = find_spec(name) if name not in sys.modules else None
    if spec is not None:
        sys.modules[name] = module_from_spec(spec)
    return sys.modules[name]
