"""Every check there is; their order is that of the output. A new client or section of the settings belongs into one."""

from __future__ import annotations

from exporter.doctor import access, databases, engine, itself, places, scanners, services, serving, ways_out
from exporter.doctor.diagnosis import Check

CHECKS: tuple[Check, ...] = (
    Check("python", itself.python, needs_configuration=False),
    Check("wheels", itself.wheels, clients=("matcher",), needs_configuration=False),
    Check("configuration", itself.configuration, needs_configuration=False),
    Check("secrets", itself.secrets),
    Check("paths", itself.paths),
    Check("base-directory", places.base_directory, settings=("base_dir",)),
    Check("file-system", places.file_system, settings=("jobs.log_rotation",)),
    Check("store", places.store),
    Check("daemon", serving.daemon, settings=("web",)),
    Check("schedule", serving.schedule),
    Check("tokens", access.tokens),
    Check("web-configuration", access.web_configuration, settings=("web.config_file",)),
    Check("rights", serving.rights, needs_configuration=False),
    Check("clock", places.clock, clients=("clock_marks",)),
    Check("docker", engine.docker, clients=("docker",), settings=("docker",)),
    Check("cgroups", engine.cgroups, clients=("cgroups",)),
    Check("agents", services.agents, clients=("agents",), settings=("agents", "jobs.agent_monitor")),
    Check(
        "postgres",
        lambda patient: (),
        clients=("postgres", "pg_programs", "pg_cluster"),
        settings=("postgres", "jobs.database_maintenance", "jobs.backup_verification"),
        split=databases.servers,
    ),
    Check("redis", databases.redis, clients=("redis",), settings=("redis",)),
    Check("ollama", services.ollama, clients=("ollama",), settings=("ollama",)),
    Check("endpoints", services.endpoints, clients=("http",), settings=("endpoints",)),
    Check(
        "certificates",
        services.certificates,
        clients=("certificates", "tls", "trust", "commands"),
        settings=("certificate", "jobs.certificate_renewal"),
    ),
    Check("mail", ways_out.mail, settings=("notifications.mail", "admin_email")),
    Check("webhook", ways_out.webhook, settings=("notifications.webhook",)),
    Check("handlers", ways_out.handlers, settings=("notifications.handlers",)),
    Check("alertmanager", ways_out.alertmanager, settings=("alertmanager",)),
    Check("deadman", ways_out.deadman, settings=("alertmanager.deadman_url",)),
    Check("textfile", ways_out.textfile, clients=("node_exporter",), settings=("textfile",)),
    Check("trivy", scanners.trivy, clients=("trivy",), settings=("jobs.security_scan.containers",)),
    Check("semgrep", scanners.semgrep, clients=("semgrep",), settings=("jobs.security_scan.code",)),
    Check("packet-filter", scanners.packet_filter, clients=("firewall",), settings=("jobs.security_scan.network",)),
    Check("packages", scanners.package_manager, clients=("packages",)),
)
