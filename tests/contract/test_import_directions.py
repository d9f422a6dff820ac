"""Imports run one way: exporter -> jobs -> jobs.clients -> jobs.core, and the daemon loads no client library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from jobs.core.registry import all_jobs

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("exporter", "jobs")
    for path in sorted((ROOT / package).rglob("*.py"))
}
JOB_MODULES = frozenset(f"jobs.{job.key}" for job in all_jobs().values())
LAYERS = ("jobs.core", "jobs.clients", "jobs", "exporter")
"""From the ground up; a module of a package that is none of the first two belongs to the jobs."""
NOT_FOR_JOBS = frozenset({"exporter", "prometheus_client", "starlette", "uvicorn", "sqlite3"})
CLIENT_LIBRARIES = frozenset({"docker", "psycopg2", "redis", "requests", "cryptography"})

EXPORTER_ARROWS: dict[str, str] = {
    "processes": "",
    "store": "",
    "config": "processes",
    "rules": "",
    "alertmanager": "bridge config",
    "bridge": "config processes store",
    "runs": "bridge config processes store",
    "views": "bridge config runs store",
    "dashboard": "runs views",
    "daemon": "bridge config dashboard runs store views",
    "web": "bridge config daemon runs store views",
    "init": "config",
    "install": "config",
    "doctor": "bridge config install processes store web",
    "commandline": "bridge config dashboard doctor runs store views",
    "commands": "alertmanager bridge commandline config doctor init install rules runs views web",
}
"""Which packages within `exporter` each of them may know. What they share stands in single files above them."""
ARROWS_WITHIN: dict[str, dict[str, str]] = {
    "exporter.bridge": {
        "incoming": "families model",
        "outgoing": "families figures hours model",
        "remediation": "families figures hours incoming model outgoing",
    },
    "exporter.web": {
        "access": "answers",
        "api": "access answers page",
        "connections": "web_config",
        "page": "accept answers",
        "web_config": "",
    },
}
"""The same within the packages that have packages of their own; what they share is named as well."""
SETTINGS = frozenset({"exporter.alertmanager.settings"})
"""Values that whoever does what they say may know as well."""
ROOTS = frozenset({"exporter.__main__", "exporter.app", "exporter.cli", "exporter.serving"})
"""They put together what the others are; nobody but commands and what those are made of knows them."""
SEEN_BY_PEOPLE = frozenset(
    {"views", "dashboard", "daemon", "web", "init", "install", "doctor", "commandline", "commands"}
)


def layer(module: str) -> int:
    """How high a module stands."""
    return next(height for height, name in enumerate(LAYERS) if f"{module}.".startswith(f"{name}."))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, at the top or in a function; what only a type checker reads is passed over."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node)
        yield from imports(node)


def _imported_from(node: ast.ImportFrom) -> Iterator[str]:
    if node.level or node.module is None:
        yield "."
        return
    for alias in node.names:
        full = f"{node.module}.{alias.name}"
        yield full if full in MODULES else node.module


@cache
def imported(module: str) -> tuple[str, ...]:
    """What a module of this project imports."""
    return tuple(imports(ast.parse(MODULES[module].read_text())))


every_module = pytest.mark.parametrize("module", MODULES)


@every_module
def test_a_module_imports_only_from_its_own_layer_and_below(module: str) -> None:
    # The package itself holds nothing; the registry lists its files.
    ours = [name for name in imported(module) if name in MODULES and name != "jobs"]
    upward = [name for name in ours if layer(name) > layer(module)]
    assert upward == []


@every_module
def test_imports_are_written_in_full(module: str) -> None:
    assert "." not in imported(module)


@pytest.mark.parametrize("module", sorted(JOB_MODULES))
def test_no_job_imports_another(module: str) -> None:
    assert JOB_MODULES & set(imported(module)) == set()


@pytest.mark.parametrize("module", [name for name in MODULES if layer(name) < layer("exporter")])
def test_nothing_below_the_exporter_knows_metrics_routes_or_the_store(module: str) -> None:
    assert {name.partition(".")[0] for name in imported(module)} & NOT_FOR_JOBS == set()


@pytest.mark.parametrize("module", [name for name in MODULES if layer(name) == layer("jobs.core")])
def test_the_core_touches_no_service(module: str) -> None:
    assert {name.partition(".")[0] for name in imported(module)} & (CLIENT_LIBRARIES | {"psutil", "urllib3"}) == set()


def test_no_helper_of_a_job_imports_a_job() -> None:
    helpers = [name for name in MODULES if layer(name) < layer("exporter") and name not in JOB_MODULES]
    assert {name: sorted(found) for name in helpers if (found := JOB_MODULES & set(imported(name)))} == {}


def package_of(module: str) -> str:
    """The package within `exporter` that a module is of; empty for a single file, and for what is none of it."""
    root, _, inside = module.partition(".")
    name = inside.partition(".")[0]
    return name if root == "exporter" and name in EXPORTER_ARROWS else ""


def test_every_package_of_the_exporter_has_its_arrows() -> None:
    packages = {path.parent.name for path in (ROOT / "exporter").glob("*/__init__.py")}
    assert packages == EXPORTER_ARROWS.keys()


@pytest.mark.parametrize("package", EXPORTER_ARROWS)
def test_a_package_of_the_exporter_knows_only_those_it_may(package: str) -> None:
    known = {
        package_of(name)
        for module in MODULES
        if package_of(module) == package
        for name in {*imported(module)} - SETTINGS
    }
    assert known - {"", package} <= set(EXPORTER_ARROWS[package].split())


def part_of(package: str, module: str) -> str:
    """The package or the single file right within `package` that a module is of, or is; empty where it is neither."""
    return module.removeprefix(f"{package}.").partition(".")[0] if module.startswith(f"{package}.") else ""


@pytest.mark.parametrize("package", ARROWS_WITHIN)
def test_the_packages_within_a_package_know_only_those_they_may(package: str) -> None:
    folder = ROOT.joinpath(*package.split("."))
    known: dict[str, set[str]] = {path.parent.name: set() for path in folder.glob("*/__init__.py")}
    for module in MODULES:
        part = part_of(package, module)
        if part in known:
            known[part] |= {part_of(package, name) for name in imported(module)} - {"", part}
    allowed = {part: set(names.split()) for part, names in ARROWS_WITHIN[package].items()}
    assert known.keys() == allowed.keys()
    assert {part: names - allowed[part] for part, names in known.items() if names - allowed[part]} == {}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("exporter.")))
def test_what_is_shared_knows_nothing_of_what_is_shown(module: str) -> None:
    names = imported(module)
    if not package_of(module) and module not in ROOTS:
        assert {package_of(name) for name in names} & SEEN_BY_PEOPLE == set()
    if package_of(module) not in ("commands", "commandline", "doctor") and module not in ROOTS:
        assert ROOTS & set(names) == set()


def test_the_daemon_loads_no_client_library() -> None:
    script = (
        "import sys, exporter.app, exporter.daemon, exporter.metrics\n"
        "exporter.metrics.catalogue()\n"
        f"print(*sorted({set(CLIENT_LIBRARIES)!r} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "\n", "")


def test_knowing_the_jobs_loads_little_of_their_work() -> None:
    # The daemon and every command know all jobs: their settings, cadences and metrics. Only a run needs the rest.
    script = "import sys; from jobs.core.registry import all_jobs; all_jobs(); print(*sys.modules)"
    known = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=60, check=True)
    loaded = {name for name in known.stdout.decode().split() if name in MODULES and layer(name) == layer("jobs")}
    assert loaded >= JOB_MODULES
    assert len(loaded) <= 60, sorted(loaded)


def test_imports_are_found_where_they_hide() -> None:
    source = """
import a.b, c
if TYPE_CHECKING:
    import unseen
if True:
    from jobs.core import model
def f():
    from exporter.store import Store
    class G:
        import deep
"""
    assert list(imports(ast.parse(source))) == ["a.b", "c", "jobs.core.model", "exporter.store", "deep"]


def test_the_daemon_loads_nothing_that_sends() -> None:
    # email.message and http.client come with the web server; what makes and sends mail is loaded by the courier alone.
    script = (
        "import sys, exporter.app, exporter.daemon, exporter.bridge.outgoing.postman\n"
        "senders = {'smtplib', 'jinja2', 'email.policy', 'email.headerregistry'}\n"
        "print(*sorted(senders & sys.modules.keys()))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('exporter.bridge.outgoing.channels.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "\n\n", "")
