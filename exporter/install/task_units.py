"""Our units for a configuration: each with what its task needs, and the directories that it writes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.install.sandbox import DAEMON, TASKS, Needs, Sandbox
from exporter.install.site import Site
from exporter.install.units import SERVICE, UnitContent, daemon_service, task_service, task_timer, unit_name
from exporter.settings import Settings
from jobs.core.registry import all_jobs

DOCKER_ROOT = Path("/var/lib/docker")
DOCKER_SETTINGS = Path("/etc/docker/daemon.json")
_CERTBOTS = (Path("/etc/letsencrypt"), Path("/var/lib/letsencrypt"), Path("/var/log/letsencrypt"))
_STOP_MARGIN_SECONDS = 20
_SENDS_WITHIN_MINUTES = 60


def daemon_units(site: Site, groups: Sequence[str]) -> dict[str, str]:
    """The one unit of the daemon."""
    settings = site.configuration.settings
    writes = {path for task in all_jobs() for path in _writes(site, task)}
    return {SERVICE: daemon_service(_content(site, groups, DAEMON, writes, settings))}


def timer_units(site: Site, groups: Sequence[str]) -> dict[str, str]:
    """A service and a timer for each task that runs by itself."""
    settings, units = site.configuration.settings, {}
    for task, cadences in site.cadences().items():
        needs = TASKS.get(task, Needs())
        isolated = not needs.network and _needs_no_network(site, task)
        content = _content(
            site, groups, needs if isolated or needs.network else _with_network(needs), _writes(site, task), settings
        )
        summary = all_jobs()[task].summary
        units[unit_name(task, "service")] = task_service(task, summary, len(cadences), content, tells=not isolated)
        units[unit_name(task, "timer")] = task_timer(task, cadences)
    return units


def _content(site: Site, groups: Sequence[str], needs: Needs, writes: set[Path], settings: Settings) -> UnitContent:
    box = Sandbox(site.who.name, groups, needs, sorted(writes), site.how.paths())
    return UnitContent(site.how, box, int(settings.runs.stop_grace_seconds) + _STOP_MARGIN_SECONDS)


def _with_network(needs: Needs) -> Needs:
    """The same with a network; for that it gives up whose the files are, to stay within what a unit may have."""
    return Needs(tuple(name for name in needs.capabilities if name != "CAP_CHOWN"), needs.as_root)


def _needs_no_network(site: Site, task: str) -> bool:
    """Whether a task's run reaches all it needs by sockets in files, and another task soon sends its messages."""
    settings = site.configuration.settings
    if (settings.docker.url or "unix:").partition(":")[0] != "unix":
        return False
    if any(directory.command for directory in settings.jobs.log_rotation.directories or ()):
        return False
    others = (one for name, cadences in site.cadences().items() if name != task for one in cadences)
    return any(one.minutes is not None and one.minutes <= _SENDS_WITHIN_MINUTES for one in others)


def _writes(site: Site, task: str) -> set[Path]:
    """Where a run of the task writes."""
    settings = site.configuration.settings
    places = {site.base_dir, *_WRITES.get(task, lambda settings, base: set())(settings, site.base_dir)}
    if settings.textfile.directory:
        places.add(settings.textfile.directory)
    return {site.base_dir / place for place in places}


def _of_logs(settings: Settings, base: Path) -> set[Path]:
    own = settings.jobs.log_rotation
    places = {entry.directory for entry in own.directories or ()}
    return places | {_docker_root() / "containers"} if own.docker_logs else places


def _of_certificates(settings: Settings, base: Path) -> set[Path]:
    own = settings.jobs.certificate_renewal
    renewed = [file for file in own.files if file.renewal_command]
    places = {path.parent for file in renewed for path in (file.path, file.key) if path}
    return {*places, *(_CERTBOTS if renewed else ())}


def _of_images(settings: Settings, base: Path) -> set[Path]:
    cache = settings.jobs.security_scan.containers.trivy.cache_dir
    return {cache} if cache else set()


def _of_drills(settings: Settings, base: Path) -> set[Path]:
    place = settings.jobs.backup_verification.drill_directory
    return {place} if place else set()


_WRITES: Mapping[str, Any] = {
    "log-rotation": _of_logs,
    "certificate-renewal": _of_certificates,
    "security-scan": _of_images,
    "backup-verification": _of_drills,
}


def _docker_root() -> Path:
    """Where the engine of this host keeps its data, as its settings say (dockerd(8), `data-root`)."""
    try:
        root = json.loads(DOCKER_SETTINGS.read_text()).get("data-root")
    except (OSError, ValueError, AttributeError):
        root = None
    return Path(root) if isinstance(root, str) and root.startswith("/") else DOCKER_ROOT
