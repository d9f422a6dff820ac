"""The weaknesses of modes and owners: what each is called, what it means, what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jobs.clients.tree import shown
from jobs.core.model import Severity
from jobs.security.scanner import Weakness


@dataclass(frozen=True)
class Rule:
    """A kind of weakness: what it is of one thing, what of several, and the remedy."""

    one: str
    several: str
    remedy: str


RULES = {
    "world_writable_file": Rule(
        "everybody may write to it", "files may be written by everybody", "chmod o-w, or chmod 0640 and a group"
    ),
    "world_writable_directory": Rule(
        "everybody may replace what is in it (no sticky bit)",
        "directories may be changed by everybody",
        "chmod o-w, or chmod +t for a directory that is shared on purpose",
    ),
    "secret_directory_open": Rule(
        "a directory of secrets that others than its owner may enter or read",
        "directories of secrets are open to others than their owner",
        "chmod 0700",
    ),
    "secret_file_open": Rule(
        "a secret whose mode allows more than 0600", "secrets have modes that allow more than 0600", "chmod 0600"
    ),
    "private_key_readable": Rule(
        "a private key that others than its owner may read",
        "private keys may be read by others than their owners",
        "chmod 0600, and replace the key if anybody else uses this machine",
    ),
    "credentials_readable": Rule(
        "a file of credentials that others than its owner may read",
        "files of credentials may be read by others than their owners",
        "chmod 0600, and change the credentials if anybody else uses this machine",
    ),
    "authorized_keys_writable": Rule(
        "others than its owner may add keys that log in", "lists of keys that log in may be changed", "chmod 0600"
    ),
    "setuid_unknown": Rule(
        "a program with its owner's or group's rights that came with no package",
        "programs with their owner's or group's rights came with no package",
        "find out who put it there; chmod ug-s or remove it, or list it in filesystem.allowed_privileged",
    ),
    "setuid_unusual": Rule(
        "a program with its owner's or group's rights that systems do not usually have so",
        "programs have their owner's or group's rights unusually",
        "chmod ug-s (dpkg-statoverride keeps it so), or list it in filesystem.allowed_privileged",
    ),
    "setuid_writable": Rule(
        "a program with its owner's or group's rights that others may change",
        "programs with their owner's or group's rights may be changed by others",
        "chmod go-w, and compare it with the one in its package",
    ),
    "capabilities_unknown": Rule(
        "a program with rights of root's that came with no package",
        "programs with rights of root's came with no package",
        "find out who put it there; setcap -r, or list it in filesystem.allowed_privileged",
    ),
    "capabilities_unusual": Rule(
        "a program with rights that lead to all of root's",
        "programs have rights that lead to all of root's",
        "setcap -r, or list it in filesystem.allowed_privileged",
    ),
    "run_by_root_writable": Rule(
        "root runs it, and others than root may change it",
        "files that root runs may be changed by others",
        "chmod go-w, chown root:root",
    ),
    "run_by_root_owner": Rule(
        "root runs it, and its owner is not root", "files that root runs belong to others", "chown root:root"
    ),
    "device_file": Rule(
        "a device outside of /dev that others than root may open",
        "devices stand outside of /dev and are open to others than root",
        "remove it, and find out who made it",
    ),
    "no_owner": Rule(
        "its owner or group does not exist: who gets that number gets the file",
        "files belong to a user or group that does not exist",
        "chown to whom it should belong, or make the user",
    ),
}


class Fault(NamedTuple):
    """A weakness of one path; small, as there may be hundreds of thousands."""

    rule: str
    path: str
    severity: Severity
    detail: str = ""

    def weakness(self) -> Weakness:
        """As a scanner tells it."""
        rule, path = RULES[self.rule], shown(self.path)
        message = f"{path}: {rule.one}{f' ({self.detail})' if self.detail else ''}"
        return Weakness(self.rule, path, self.severity, message, rule.remedy, path)


class Heap(NamedTuple):
    """Many of one weakness below one directory: one finding, whose subject does not change with their number."""

    rule: str
    directory: str
    severity: Severity
    number: int
    example: str

    def weakness(self) -> Weakness:
        """As a scanner tells it."""
        rule, directory = RULES[self.rule], f"{shown(self.directory).rstrip('/')}/"
        message = f"{directory}: below it {self.number:,} {rule.several}, {shown(self.example)} for one"
        return Weakness(self.rule, directory, self.severity, message, rule.remedy, directory)
