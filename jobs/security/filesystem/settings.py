"""What the scan of the area `filesystem` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from jobs.core.settings import SettingsModel

USUAL = ("/etc", "/opt", "/srv", "/root", "/home", "/tmp", "/var/tmp", "/usr/local", "/usr/bin", "/usr/sbin")  # noqa: S108
"""Where a standard scan looks beside the base directory."""
PROGRAM_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
CONTAINER_STORAGE = (
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet/pods", "/var/lib/lxc"),
    *("/var/lib/machines", "/var/lib/lxd", "/var/snap/lxd", "/snap"),
)
SEARCHED = ("/etc", "/opt", "/srv", "/root", "/home", "/var/www", "/usr/local/etc", "/usr/local/bin", "/var/spool/cron")
"""Where a full scan looks for secrets beside the base directory."""
NOT_SEARCHED = (
    *(".git/objects", ".git/lfs", "node_modules", "site-packages", "dist-packages", "go/pkg/mod", ".cargo/registry"),
    *("lib/python*.*", "lib/python3"),
    *("testdata", "__pycache__", ".mypy_cache", ".ruff_cache", ".cache"),
)
"""Compressed, or published by others: what is in it is no secret of this machine's."""
KEPT_BY_US = ("backups", "archive", "reports")
"""Directories of the base directory that hold no text, or what was already searched."""
RUN_BY_ROOT = (
    *("/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"),
    *("/var/spool/cron/crontabs/root", "/var/spool/cron/root", "/etc/init.d", "/etc/profile.d", "/etc/sudoers.d"),
    *("/etc/systemd/system", "/usr/lib/systemd/system", "/etc/pam.d", "/etc/ld.so.conf.d", "/etc/apt/apt.conf.d"),
)

Paths = tuple[Path, ...]
Patterns = tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...]


def _paths(*groups: tuple[str, ...]) -> Paths:
    return tuple(Path(path) for group in groups for path in group)


class FileSystemSettings(SettingsModel):
    """The area `filesystem`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
    directories: Paths | None = Field(
        None, description="Whose modes a standard scan checks, beside the base directory; unset: the usual places."
    )
    full_directories: Paths | None = Field(
        None, description="Whose modes a full scan checks, beside the base directory; unset: all local file systems."
    )
    other_file_systems: bool = Field(
        False, description="Also check local file systems that are mounted below these directories."
    )
    exclude: Patterns = Field(
        CONTAINER_STORAGE, description="Directories left out, as patterns: `*` within a name, `**` over several."
    )
    secret_directories: Paths = Field(
        (Path("secrets_secure"),), description="Directories of secrets: 0700, their files 0600 or less."
    )
    key_groups: tuple[str, ...] = Field(
        ("ssl-cert", "ssh_keys", "shadow"), description="Groups that may read private keys and password files."
    )
    allowed_privileged: Patterns = Field(
        (), description="Programs that may be SUID, SGID or have capabilities, as patterns of paths."
    )
    run_by_root: Paths = Field(
        _paths(RUN_BY_ROOT), description="Tables, units and scripts of what root runs by itself."
    )
    program_directories: Paths = Field(
        _paths(PROGRAM_DIRECTORIES), description="Directories in which only root may change programs."
    )
    search_directories: Paths = Field(
        (), description="Directories that a standard scan searches for secrets, beside the base directory."
    )
    full_search_directories: Paths | None = Field(
        None, description="Directories that a full scan searches, beside these; unset: the usual places."
    )
    search_exclude: Patterns = Field(NOT_SEARCHED, description="Files and directories not searched, as patterns.")
    max_searched_mb: int = Field(
        256, ge=1, le=1048576, description="Larger texts are not searched; the report names them."
    )
    max_listed: int = Field(
        100, ge=1, le=10000, description="Of more of one kind below one directory only their number is told."
    )
