"""What is weak about an entry's mode, owner and content: pure functions on what the walk has told."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from jobs.clients.root_runs import Program
from jobs.clients.tree import Entry
from jobs.core.model import Severity
from jobs.security.filesystem.faults import Fault
from jobs.security.filesystem.privileges import HARMLESS, USUAL_SETUID, capabilities

CREDENTIALS = re.compile(
    r".*/(?:\.pgpass|\.netrc|\.my\.cnf|\.git-credentials|\.npmrc|\.pypirc|\.vault-token|\.s3cfg|\.boto"
    r"|\.aws/credentials|\.docker/config\.json|\.kube/config|kubeconfig|[^/]+\.kubeconfig|etc/kubernetes/admin\.conf"
    r"|\.env(?:\.(?!example|sample|template|dist|tpl|default)[^/]*)?|[^/]+\.env|[^/]+\.(?:p12|pfx|jks|keystore|kdbx))",
    re.DOTALL,
)
PRIVATE_KEYS = re.compile(
    r".*/(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|ssh_host_(?:rsa|dsa|ecdsa|ed25519)_key|\.ssh/identity)", re.DOTALL
)
PASSWORDS = re.compile(r"/etc/g?shadow-?")
PUBLISHED = re.compile(
    r"/(?:site-packages|dist-packages|node_modules|go/pkg/mod|\.cargo/registry|testdata|python[\d.]+/test)/"
    r"|/go/(?:src/|go\.env$)"
)
"""Where languages keep their packages and tests: a key or an example among them is anybody's."""
_SETID = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True)
class Rules:
    """What the settings make of paths: `secret` and `guarded` begin those of secrets and of what root runs,

    `key_groups` are the ids of groups that may read keys, `allowed` the programs that may have rights.
    """

    secret: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    key_groups: frozenset[int] = frozenset()
    allowed: re.Pattern[str] = re.compile(r"(?!)")


@dataclass(frozen=True)
class Ownership:
    """Which package each path came with, and which modes the administrator has settled; `known` is False without."""

    known: bool = False
    owners: Mapping[str, str] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()


def needs_owner(entry: Entry) -> bool:
    """Whether it matters which package the entry came with."""
    named = entry.key or CREDENTIALS.fullmatch(entry.path) or PRIVATE_KEYS.fullmatch(entry.path)
    return bool(stat.S_ISREG(entry.mode) and (entry.mode & _SETID or entry.capabilities or named))


def faults_of(entry: Entry, rules: Rules, ownership: Ownership) -> Iterator[Fault]:
    """Everything that is weak about one entry."""
    special = [
        *_of_secrets(entry, rules),
        *_of_keys(entry, rules, ownership),
        *_of_privileges(entry, rules, ownership),
        *_of_what_root_runs(entry, rules),
    ]
    yield from special
    # A file that everybody may write is told once, as the worst that it is.
    if not special:
        yield from _of_writers(entry)
    yield from _of_owners(entry)


def faults_of_program(program: Program) -> Iterator[Fault]:
    """What lets others than root change a program that root runs: its mode, its owner, a directory on the way."""
    for step in program.steps:
        detail = f"{program.path} is run by root, as {program.named_in} says"
        sticky = stat.S_ISDIR(step.mode) and step.mode & stat.S_ISVTX
        if (step.mode & 0o002 or (step.mode & 0o020 and step.gid != 0)) and not sticky:
            yield Fault("run_by_root_writable", step.path, Severity.CRITICAL, detail)
        if step.uid != 0:
            yield Fault("run_by_root_owner", step.path, Severity.HIGH, detail)


def _of_secrets(entry: Entry, rules: Rules) -> Iterator[Fault]:
    if not f"{entry.path}/".startswith(rules.secret) or stat.S_ISLNK(entry.mode):
        return
    worst = Severity.CRITICAL if entry.mode & 0o007 else Severity.HIGH
    if stat.S_ISDIR(entry.mode):
        if entry.mode & 0o077:
            yield Fault("secret_directory_open", entry.path, Severity.HIGH, _mode(entry))
    elif entry.mode & 0o7177:
        yield Fault("secret_file_open", entry.path, worst if entry.mode & 0o077 else Severity.MEDIUM, _mode(entry))


def _of_keys(entry: Entry, rules: Rules, ownership: Ownership) -> Iterator[Fault]:
    if not stat.S_ISREG(entry.mode) or entry.path.startswith(rules.secret):
        return
    exposed = entry.mode & 0o066
    if not entry.mode & 0o006 and not entry.mode & 0o020 and entry.gid in rules.key_groups | {0}:
        exposed = 0
    published = entry.path in ownership.owners or PUBLISHED.search(entry.path)
    severity = Severity.CRITICAL if entry.mode & 0o006 else Severity.HIGH
    if exposed and not published and (entry.key or PRIVATE_KEYS.fullmatch(entry.path)):
        yield Fault("private_key_readable", entry.path, severity, _mode(entry))
    elif exposed and PASSWORDS.fullmatch(entry.path):
        yield Fault("credentials_readable", entry.path, severity, _mode(entry))
    elif exposed and CREDENTIALS.fullmatch(entry.path) and not published:
        readers = Severity.HIGH if entry.mode & 0o006 else Severity.MEDIUM
        yield Fault("credentials_readable", entry.path, readers, _mode(entry))
    elif entry.mode & 0o022 and entry.path.endswith("/authorized_keys"):
        yield Fault("authorized_keys_writable", entry.path, Severity.CRITICAL, _mode(entry))


def _of_privileges(entry: Entry, rules: Rules, ownership: Ownership) -> Iterator[Fault]:
    if not stat.S_ISREG(entry.mode) or rules.allowed.fullmatch(entry.path):
        return
    if entry.mode & _SETID and entry.mode & 0o111:
        yield from _of_setid(entry, ownership)
    strong = capabilities(entry.capabilities) if entry.capabilities else frozenset()
    strong_names = ", ".join(sorted(strong - HARMLESS))
    usual = entry.path.rpartition("/")[2] in USUAL_SETUID
    if strong and ownership.known and entry.path not in ownership.owners:
        severity = Severity.CRITICAL if strong_names else Severity.HIGH
        yield Fault("capabilities_unknown", entry.path, severity, ", ".join(sorted(strong)))
    elif strong_names and not usual:
        yield Fault("capabilities_unusual", entry.path, Severity.HIGH, strong_names)


def _of_setid(entry: Entry, ownership: Ownership) -> Iterator[Fault]:
    owner = ownership.owners.get(entry.path, "")
    becomes_root = bool(entry.mode & stat.S_ISUID and entry.uid == 0)
    who = "SUID" if entry.mode & stat.S_ISUID else "SGID"
    detail = f"{who} {entry.uid if who == 'SUID' else entry.gid}, {_mode(entry)}{f', package {owner}' if owner else ''}"
    if entry.mode & 0o022:
        yield Fault("setuid_writable", entry.path, Severity.CRITICAL, detail)
    elif entry.path in ownership.settled:
        return
    elif ownership.known and not owner:
        yield Fault("setuid_unknown", entry.path, Severity.CRITICAL if becomes_root else Severity.HIGH, detail)
    elif entry.path.rpartition("/")[2] not in USUAL_SETUID:
        yield Fault("setuid_unusual", entry.path, Severity.HIGH if becomes_root else Severity.MEDIUM, detail)


def _of_what_root_runs(entry: Entry, rules: Rules) -> Iterator[Fault]:
    if not f"{entry.path}/".startswith(rules.guarded) or stat.S_ISLNK(entry.mode):
        return
    if entry.mode & 0o002 or (entry.mode & 0o020 and entry.gid != 0):
        yield Fault("run_by_root_writable", entry.path, Severity.CRITICAL, _mode(entry))
    elif entry.uid != 0:
        yield Fault("run_by_root_owner", entry.path, Severity.HIGH, f"user {entry.uid}")


def _of_writers(entry: Entry) -> Iterator[Fault]:
    if stat.S_ISREG(entry.mode) and entry.mode & 0o002:
        executed = entry.mode & 0o111
        yield Fault("world_writable_file", entry.path, Severity.HIGH if executed else Severity.MEDIUM, _mode(entry))
    elif stat.S_ISDIR(entry.mode) and entry.mode & 0o002 and not entry.mode & stat.S_ISVTX:
        yield Fault("world_writable_directory", entry.path, Severity.HIGH, _mode(entry))
    elif (stat.S_ISBLK(entry.mode) or stat.S_ISCHR(entry.mode)) and entry.device and entry.mode & 0o066:
        # Number 0 is what overlay file systems mark a removed file with.
        yield Fault("device_file", entry.path, Severity.HIGH, _mode(entry))


def _of_owners(entry: Entry) -> Iterator[Fault]:
    if not entry.has_user or not entry.has_group:
        who = f"user {entry.uid}" if not entry.has_user else f"group {entry.gid}"
        yield Fault("no_owner", entry.path, Severity.LOW, who)


def _mode(entry: Entry) -> str:
    return f"mode {stat.S_IMODE(entry.mode):04o}"
