"""Whether a container can harm its host by accident, and can be trusted to be what it is called."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.core.containers import clean
from jobs.core.images import is_floating
from jobs.core.model import Severity
from jobs.security.containers.container import Audited
from jobs.security.containers.flaw import Engine, Flaw

UNLIMITED_LOGS = ("json-file", "")
"""Log drivers that fill the disk of the host unless told otherwise; `local` turns its files over by itself."""


def judge_health_check(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Whether anybody would see that it no longer works."""
    if not container.has_health_check:
        yield Flaw(
            "no_health_check", Severity.LOW, "has no health check: nobody sees it hang",
            "add a healthcheck:, or HEALTHCHECK to the image",
        )  # fmt: skip


def judge_limits(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Limits without which one container can take everything."""
    if not container.memory_bytes:
        yield Flaw(
            "no_memory_limit", Severity.MEDIUM, "may take all memory of the host", "set mem_limit: (--memory)"
        )  # fmt: skip
    if not container.max_processes:
        yield Flaw(
            "no_process_limit", Severity.LOW, "may start processes without end", "set pids_limit: (--pids-limit)"
        )  # fmt: skip
    if container.log_driver in UNLIMITED_LOGS and not container.log_limited:
        yield Flaw(
            "no_log_limit", Severity.MEDIUM, "may fill the host's disk with its log",
            "set the option max-size in logging:, or in log-opts of /etc/docker/daemon.json and make it anew",
        )  # fmt: skip


def judge_image(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Whether the image's name says which one it is."""
    if is_floating(container.image):
        yield Flaw(
            "floating_image_tag", Severity.LOW, f"is made from {clean(container.image)}, which may be another tomorrow",
            "name a version, or pin the image by its digest",
        )  # fmt: skip


def judge_file_system(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Whether somebody who got in can change its programs."""
    if not container.read_only:
        yield Flaw(
            "writable_root_filesystem", Severity.LOW, "can change its own programs",
            "set read_only: true, with a tmpfs: for what it must write",
        )  # fmt: skip


def judge_restart(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Whether it comes back after a crash or a boot; one that goes away by itself need not."""
    if not container.restarts and not container.removed_at_its_end:
        yield Flaw(
            "no_restart_policy", Severity.INFO, "does not come back after a crash or a boot",
            "set restart: unless-stopped",
        )  # fmt: skip


JUDGES = (judge_health_check, judge_limits, judge_image, judge_file_system, judge_restart)
