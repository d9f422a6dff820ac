"""The words that findings, actions and metrics have in common. The daemon reads them, so nothing heavy is here."""

from __future__ import annotations

from enum import StrEnum


class How(StrEnum):
    """Cut: the head of a live log goes into an archive. Move: it is put aside, its writer opens a new one, and the old
    one is archived whole. Retire: nobody writes to it any more, it is archived whole and removed.
    """

    CUT = "cut"
    MOVE = "move"
    RETIRE = "retire"


REMEDIES = {
    "unsafe_directory": "take the right to write from group and others (chmod go-w), or move the logs elsewhere",
    "missing": "make the directory, or take it out of jobs.log_rotation.directories",
    "no_permission": "run the exporter as a user who may write there",
    "immutable": "chattr -i, if it is meant to be rotated",
    "append_only": "chattr -a, if it is meant to be rotated",
    "cannot_cut": "configure `signal` or `command` for its directory, by which its writer opens it anew",
    "hard_link": "remove the other name",
    "no_space": "make room, or put archive/logs on another file system",
    "no_inodes": "remove files there, or put archive/logs on another file system",
    "read_only": "see in the kernel's log why the file system is read-only",
    "io_error": "look at the disk: dmesg, smartctl",
    "not_reopened": "see whether `signal` or `command` of its directory does what it should",
    "reopen_failed": "see whether `signal` or `command` of its directory does what it should",
    "no_line_end": "give the container a limit of its own: the log option max-size",
    "use_unknown": "run the exporter as root, or on a local file system",
}
"""What can be done about a skip, by its reason."""

REASONS = (
    *REMEDIES, "changed", "error", "file_size_limit", "in_use", "not_a_directory", "not_a_file", "out_of_time",
    "too_many",
)  # fmt: skip
"""Every word that a skip's reason can be."""
