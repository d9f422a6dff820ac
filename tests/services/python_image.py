"""Stands for the image `python:X-slim`, as no registry of images is asked: this machine's own Python, and pip."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pip

from tests.services.docker_engine import DockerEngine
from tests.services.exporter_daemon import REPOSITORY
from tests.services.image_tree import ImageTree

PYTHON_IMAGE = "sutazai-test-python"
"""A Python with pip, and the programs of busybox."""

BUILDER_IMAGE = "sutazai-test-python-wheels"
"""The same with all packages of the project in /wheels, and a pip that looks there and nowhere else."""

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = re.compile(r"/(__pycache__|tests?|idlelib|tkinter|turtledemo|(site|dist)-packages|config-[^/]+)(/|$)")
_PIP_CONFIG = "[global]\nno-index = true\nfind-links = /wheels\ndisable-pip-version-check = true\n"


def make_python_images(engine: DockerEngine, directory: Path) -> None:
    """Put PYTHON_IMAGE and BUILDER_IMAGE into an engine; `directory` is for what they are made of."""
    engine.import_image(_python_tree(directory / "python.tar"), PYTHON_IMAGE)
    context = directory / "builder"
    (context / "wheels").mkdir(parents=True)
    _download(context / "wheels")
    (context / "pip.conf").write_text(_PIP_CONFIG)
    (context / "Dockerfile").write_text(f"FROM {PYTHON_IMAGE}\nCOPY wheels /wheels\nCOPY pip.conf /etc/pip.conf\n")
    engine.build(context, BUILDER_IMAGE)


def _python_tree(file: Path) -> Path:
    """The interpreter below /usr/local, and pip beside the standard library, where every layout finds it."""
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    tree, inside = ImageTree(file), f"usr/local/lib/python{_VERSION}"
    tree.programs(program, into="usr/local/bin", name=f"python{_VERSION}")
    for name in ("python", "python3"):
        tree.link(f"usr/local/bin/{name}", f"python{_VERSION}")
    tree.tree(library, inside, lambda path: not _LEFT_OUT.search(path))
    tree.tree(Path(pip.__file__).parent, f"{inside}/pip", lambda path: "__pycache__" not in path)
    tree.libraries_of([program, *library.glob("lib-dynload/*.so")])
    return tree.finish()


def _download(directory: Path) -> None:
    """The wheels of everything that the project needs to be built and to run, as pip here is set up to find them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(directory)]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
