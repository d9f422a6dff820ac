"""What a PostgreSQL server's settings and its pg_hba.conf let people do, judged."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from jobs.clients.postgres_access import Access, HbaRule
from jobs.core.addresses import is_loopback
from jobs.core.model import Severity
from jobs.security.scanner import Weakness

_SCRAM = "write scram-sha-256 instead of it in pg_hba.conf, and reload"
_HOSTSSL = "write hostssl instead of host in pg_hba.conf, and reload"
_SSL_ON = "set ssl = on with ssl_cert_file and ssl_key_file, and write hostssl in pg_hba.conf"


def judge(subject: str, access: Access, *, reached: bool, remote: bool) -> list[Weakness]:
    """Given what a server says, return what is weak.

    `reached` says whether other hosts get to it at all; `remote` whether it is on another host than this one.
    """
    listens = reached and _listens_to_others(access.setting("listen_addresses"))
    found = list(_of_settings(subject, access, remote=remote))
    found += _of_rules(subject, access, listens=listens)
    return found


def _of_settings(subject: str, access: Access, *, remote: bool) -> Iterator[Weakness]:
    if access.setting("password_encryption") in ("md5", "on"):
        yield Weakness(
            "postgres_md5_passwords", subject, Severity.MEDIUM,
            "password_encryption is md5: whoever gets to see a stored password can log in with it",
            "set password_encryption = 'scram-sha-256', and set the passwords anew",
        )  # fmt: skip
    if remote and not access.encrypted:
        yield Weakness(
            "unencrypted_connection", subject, Severity.MEDIUM,
            "This exporter's own connection crosses the network without encryption",
            "add sslmode=require (better verify-full) to the DSN; the server needs ssl = on",
        )  # fmt: skip


def _of_rules(subject: str, access: Access, *, listens: bool) -> Iterator[Weakness]:
    rules = [rule for rule in access.rules or () if rule.usable]
    trusting = [rule for rule in rules if rule.method == "trust"]
    others = [rule for rule in trusting if listens and _is_for_others(rule)]
    local = [rule for rule in trusting if rule not in others]
    for rule in others:
        yield _trust(f"{subject} {_whence(rule)}", rule, Severity.CRITICAL)
    if local:
        yield _trust(f"{subject} this host", local[0], Severity.MEDIUM)
    if not listens:
        return
    admitting = [rule for rule in rules if _is_for_others(rule) and rule.method != "reject"]
    unless_tls = [rule for rule in admitting if rule.type in ("host", "hostnossl")]
    yield from _clear(subject, access, admitting, unless_tls)


def _clear(
    subject: str, access: Access, admitting: Sequence[HbaRule], unless_tls: Sequence[HbaRule]
) -> Iterator[Weakness]:
    passwords = [rule for rule in unless_tls if rule.method in ("password", "ldap", "radius", "pam")]
    if passwords:
        yield Weakness(
            "postgres_clear_password", subject, Severity.HIGH,
            f"Passwords may cross the network in the clear: {_line(passwords[0])}", _HOSTSSL,
        )  # fmt: skip
    if unless_tls and not access.ssl:
        yield Weakness(
            "postgres_without_tls", subject, Severity.MEDIUM,
            f"ssl is off and other hosts may connect ({_line(unless_tls[0])})", _SSL_ON,
        )  # fmt: skip
    elif unless_tls:
        yield Weakness(
            "postgres_tls_optional", subject, Severity.LOW,
            f"Other hosts may connect without TLS: {_line(unless_tls[0])}", _HOSTSSL,
        )  # fmt: skip


def _trust(subject: str, rule: HbaRule, severity: Severity) -> Weakness:
    return Weakness(
        "postgres_trust", subject, severity, f"pg_hba.conf lets people in without a password: {_line(rule)}", _SCRAM
    )


def _listens_to_others(listen_addresses: str) -> bool:
    """Whether an entry of listen_addresses is more than loopback (in a container `*` is: whoever publishes it says)."""
    entries = [entry.strip() for entry in listen_addresses.split(",") if entry.strip()]
    return any(not is_loopback(entry) for entry in entries)


def _is_for_others(rule: HbaRule) -> bool:
    """Whether a rule is for connections from other hosts."""
    return rule.type != "local" and rule.address != "samehost" and not is_loopback(rule.address)


def _whence(rule: HbaRule) -> str:
    if rule.type == "local":
        return "the local socket"
    if not rule.netmask:
        return rule.address
    try:
        prefix = ipaddress.ip_network(f"{rule.address}/{_prefix(rule.netmask)}", strict=False)
    except ValueError:
        return f"{rule.address}/{rule.netmask}"
    return str(prefix)


def _prefix(netmask: str) -> int:
    return bin(int(ipaddress.ip_address(netmask))).count("1")


def _line(rule: HbaRule) -> str:
    return f"{rule.type} {rule.databases[:80]} {rule.users[:80]} {_whence(rule)} {rule.method}"
