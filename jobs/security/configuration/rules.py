"""The rules that configuration files are held against, and how a weakness of a file is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.file_search import shown
from jobs.core.model import Severity
from jobs.security.host_access import ENGINE_SOCKET, NAMESPACES, PRIVILEGED
from jobs.security.scanner import Look, Weakness

INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity


@dataclass(frozen=True)
class Rule:
    """How bad it is in itself, and what to do. Those that are only good to know (info) belong to a full scan."""

    severity: Severity
    remedy: str


_DRAW_ONE = "Draw a long one at random and hand it in as a file (NAME_FILE, a Docker secret) or from outside."

RULES: Mapping[str, Rule] = {
    "unreadable_configuration": Rule(LOW, "Correct the file, or leave it out by jobs.security_scan.configuration."),
    # Passwords, wherever they stand.
    "default_password": Rule(HIGH, _DRAW_ONE),
    "empty_password": Rule(HIGH, _DRAW_ONE),
    "weak_password": Rule(MEDIUM, _DRAW_ONE),
    "authentication_off": Rule(CRITICAL, "Remove the switch, and set a password."),
    # Compose files.
    "privileged_container": Rule(PRIVILEGED, "Leave privileged out, and give single capabilities or devices."),
    "docker_socket_mounted": Rule(
        ENGINE_SOCKET, "Put a proxy in front of the socket that lets only the needed calls through."
    ),
    "host_directory_mounted": Rule(HIGH, "Mount only the directory that is needed, with ro where it is only read."),
    "host_network": Rule(NAMESPACES["network"], "Publish the ports that are needed instead."),
    "host_processes": Rule(NAMESPACES["pid"], "Leave pid: host out."),
    "dangerous_capability": Rule(HIGH, "Leave the capability out; drop ALL and add what is needed."),
    "confinement_off": Rule(MEDIUM, "Leave the engine's own seccomp and AppArmor profiles in force."),
    "image_not_pinned": Rule(LOW, "Name a version, or better a digest."),
    "database_port_on_all_addresses": Rule(HIGH, "Publish it as 127.0.0.1:PORT:PORT, or not at all."),
    "redis_without_password": Rule(HIGH, "Start it with a configuration file that has requirepass or an ACL."),
    # Docker's daemon.json.
    "docker_tcp_without_tls": Rule(
        CRITICAL, "Remove the tcp host, or set tlsverify with a CA of your own; or use ssh."
    ),
    "insecure_registry": Rule(MEDIUM, "Give the registry a certificate, and its CA to /etc/docker/certs.d."),
    "docker_logs_without_limit": Rule(LOW, 'Set "log-opts": {"max-size": "50m", "max-file": "3"}.'),
    "docker_live_restore_off": Rule(INFO, 'Set "live-restore": true, so that containers outlive the daemon.'),
    "docker_user_namespaces_off": Rule(INFO, 'Set "userns-remap": "default", so that root inside is nobody outside.'),
    "docker_containers_reach_each_other": Rule(INFO, 'Set "icc": false, and give services that talk a network.'),
    "docker_new_privileges": Rule(INFO, 'Set "no-new-privileges": true.'),
    # sshd.
    "ssh_root_login": Rule(HIGH, "Set PermitRootLogin no (or prohibit-password), and become root by sudo."),
    "ssh_password_login": Rule(MEDIUM, "Set PasswordAuthentication no once keys are in place."),
    "ssh_empty_passwords": Rule(CRITICAL, "Set PermitEmptyPasswords no."),
    "ssh_protocol_1": Rule(CRITICAL, "Remove the Protocol line."),
    "ssh_x11_forwarding": Rule(LOW, "Set X11Forwarding no."),
    "ssh_many_attempts": Rule(LOW, "Set MaxAuthTries to 6 or fewer."),
    "ssh_weak_cryptography": Rule(MEDIUM, "Remove the line, so that OpenSSH's own choice is in force."),
    # PostgreSQL.
    "postgres_trust": Rule(HIGH, "Ask for scram-sha-256 (peer on the local socket)."),
    "postgres_password_in_clear": Rule(MEDIUM, "Ask for scram-sha-256, and for TLS by hostssl."),
    "postgres_md5": Rule(LOW, "Set password_encryption to scram-sha-256, set passwords anew, ask for scram-sha-256."),
    "postgres_ident": Rule(MEDIUM, "Ask for scram-sha-256: the peer's word is all that ident has."),
    "postgres_unusable_line": Rule(
        MEDIUM, "Correct the line: the server takes none of the file as long as it is there."
    ),
    "postgres_listens_everywhere": Rule(LOW, "Set listen_addresses to localhost and what is needed beside it."),
    "postgres_without_tls": Rule(MEDIUM, "Set ssl on, and hostssl instead of host in pg_hba.conf."),
    "postgres_md5_passwords": Rule(MEDIUM, "Set password_encryption to scram-sha-256, and set passwords anew."),
    "postgres_unsafe_writes": Rule(HIGH, "Set it on: after a power cut the database may be beyond repair."),
    "postgres_connections_not_logged": Rule(INFO, "Set log_connections on."),
    # Redis.
    "redis_open": Rule(CRITICAL, "Set requirepass or an ACL, protected-mode yes, and bind to 127.0.0.1."),
    "redis_no_password": Rule(LOW, "Set requirepass or an ACL: every user of the machine can read and change it."),
    "redis_unprotected": Rule(LOW, "Set protected-mode yes, or bind to 127.0.0.1."),
    "redis_dangerous_commands": Rule(INFO, "Take CONFIG, FLUSHALL, DEBUG and MODULE from the users by ACL."),
    # The exporter's own configuration.
    "readable_secrets": Rule(HIGH, "chmod 600 the file, or move the secret into a file of its own (NAME_FILE)."),
    "secret_in_configuration": Rule(LOW, "Move it into a file of its own (SUTAZAI_..._FILE, the secrets directory)."),
    "writable_configuration": Rule(HIGH, "chmod go-w: who writes it decides what the exporter runs."),
}


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file: where it is, what the report calls it, its text and its permission bits."""

    path: Path
    name: str
    text: str
    mode: int = 0

    def weakness(
        self, rule: str, key: str, message: str, line: int | None = None, *, severity: Severity | None = None
    ) -> Weakness:
        """A weakness of `key` in this file; `severity` where it is another than the rule's own."""
        subject = shown(f"{self.name}: {key}")
        return Weakness(
            rule=rule,
            subject=subject,
            severity=severity or RULES[rule].severity,
            message=f"{subject}: {message}" + (f" (line {line})" if line is not None else ""),
            remedy=RULES[rule].remedy,
            path=str(self.path),
            line=line,
        )


class Unparsable(ValueError):
    """A file that is not what it should be; the message is one line that quotes nothing of its values."""


def tell(look: Look, weakness: Weakness) -> None:
    """Tell of a weakness; what is only good to know belongs to a full scan."""
    if look.full or weakness.severity is not INFO:
        look.found(weakness)
