"""What keeps the daemon small: libraries leave out what is of no use here, and threads share their heaps.

A daemon keeps for months what it has loaded, and every heap the size that it once grew to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_PYDANTIC_PLUGINS = "pydantic.plugin._loader"
_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
"""Where zones are looked for by default (https://docs.python.org/3/library/zoneinfo.html#configuring-the-data-sources)."""


def leave_out() -> None:
    """Let pydantic look for no plugins, and zoneinfo not ask how Python was built; to be called before they are loaded.

    Nothing but this package is to change what a setting means. To find out that there is no plugin, pydantic would load
    all that reads the descriptions of installed distributions (with parsers of mail, ZIP and CSV), and read them all.
    """
    sys.modules.setdefault(_PYDANTIC_PLUGINS, _module(_PYDANTIC_PLUGINS, {"get_plugins": tuple}))
    os.environ.setdefault("PYTHONTZPATH", os.pathsep.join(_ZONES))


def bare_package(name: str) -> ModuleType:
    """A package as it is loaded already, else without what it would load itself: its modules can be loaded then."""
    spec = find_spec(name) if name not in sys.modules else None
    if spec is not None:
        sys.modules[name] = module_from_spec(spec)
    return sys.modules[name]


@contextmanager
def without(**names: tuple[str, ...]) -> Iterator[None]:
    """While this lasts, modules (`logging__config` is `logging.config`) are stand-ins that have these names of classes.

    Whoever is loaded meanwhile keeps the stand-ins; one that is loaded already stays itself.
    """
    modules = {key.replace("__", "."): classes for key, classes in names.items()}
    absent = {name: classes for name, classes in modules.items() if name not in sys.modules}
    for name, classes in absent.items():
        sys.modules[name] = _module(name, {one: type(one, (Exception,), {}) for one in classes})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def share_heaps(count: int = 1) -> None:
    """Let all threads allocate from `count` heaps.

    glibc would give nearly every thread one of its own, and each keeps the size that it once grew to
    (mallopt(3), M_ARENA_MAX). Where the C library has no such setting there is nothing to do.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count)


def _module(name: str, content: dict[str, object]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module
