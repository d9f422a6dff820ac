"""For every rule of the scan of configuration files: a file that breaks it, and a clean twin that does the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

SECRET = "canary9"
"""In every value that is a secret, so that a test can say that none is told."""


@dataclass(frozen=True)
class Plant:
    """Content of a file of this name that breaks `rule`, and of its clean twin; `beside` are other files by name."""

    rule: str
    name: str
    weak: str
    clean: str
    beside: tuple[tuple[str, str], ...] = ()


def service(*lines: str, name: str = "db", image: str = "postgres:16.4") -> str:
    """A Compose file of one service."""
    return "\n".join(["services:", f"  {name}:", f"    image: {image}", *(f"    {line}" for line in lines), ""])


def variables(*lines: str) -> str:
    """A Compose file whose service has these variables."""
    return service("environment:", *(f"  {line}" for line in lines))


STRONG = "x7Kp2vQ9mW4rT8zB"
COMPOSE = "docker-compose.yml"
DAEMON = (
    '{"log-driver": "local", "live-restore": true, "icc": false, "no-new-privileges": true, "userns-remap": "default"'
)
SSHD = "PasswordAuthentication no\n"
REDIS = f"bind 127.0.0.1\nrequirepass {STRONG}\nrename-command CONFIG ''\n"
PG = "log_connections = on\n"


def plants() -> Iterator[Plant]:
    """Every plant."""
    yield from _passwords()
    yield from _compose()
    yield from _docker()
    yield from _sshd()
    yield from _postgres()
    yield from _redis()


def _passwords() -> Iterator[Plant]:
    strong = f"DB_PASSWORD={STRONG}\n"
    for weak in (
        "POSTGRES_PASSWORD=postgres",
        "RedisPassword=Password123!",
        "db_pass=changeme",
        "PGPASSWORD=sutazai",
        "export MYSQL_ROOT_PASSWORD='p@ssw0rd'",
        "APP_USER=ollie\nAPP_PASSWORD=Ollie",
        "JWT_SECRET=secret",
        "AIRFLOW__CORE__FERNET_KEY=changeme",
        "NEO4J_AUTH=neo4j/neo4j",
        "URL=postgres://app:postgres@db/x",
        "ADMIN_PASSWORD=change-me-canary9",
    ):
        yield Plant("default_password", ".env", f"{weak}\n", strong)
    yield Plant("default_password", ".env.production", "DB_PASSWORD: admin\n", "DB_PASSWORD_FILE: /run/secrets/db\n")
    yield Plant("empty_password", "agents.env", "POSTGRES_PASSWORD=\n", "POSTGRES_PASSWORD_FILE=/run/secrets/db\n")
    for weak in ("12345678901", "abcd", "canary9", "qwertyuiop12345", "aaaaaaaaaaaa", "1qaz2wsx3edc"):
        yield Plant("weak_password", ".env", f"DB_PASSWORD={weak}\n", strong)
    yield Plant("authentication_off", ".env", "POSTGRES_HOST_AUTH_METHOD=trust\n", "POSTGRES_HOST_AUTH_METHOD=md5\n")
    for weak in (
        "POSTGRES_PASSWORD: postgres",
        "- POSTGRES_PASSWORD=postgres",
        "Db_Pass: ${X:-postgres}",
        "DB_PASSWORD: ${A:-${B-admin}}",
        "DATABASE_URL: 'postgres://u:${PW:-postgres}@db/x'",
    ):
        clean = weak.replace("postgres}", "${Y:?}}").replace("${X:-", "${X:-").replace("admin", STRONG)
        clean = clean.replace(": postgres", f": {STRONG}").replace("=postgres", "=${DB_PASSWORD}")
        yield Plant("default_password", COMPOSE, variables(weak), variables(clean))
    yield Plant(
        "default_password",
        COMPOSE,
        service("build: {context: ., args: {DB_PASSWORD: admin}}"),
        service("build: {context: ., args: [DB_PASSWORD]}"),
    )
    yield Plant("empty_password", COMPOSE, variables("POSTGRES_PASSWORD: ''"), variables("POSTGRES_PASSWORD:"))
    yield Plant("weak_password", COMPOSE, variables("- DB_PASSWORD=zk4w"), variables("- DB_PASSWORD"))
    yield Plant(
        "authentication_off", COMPOSE, variables("ALLOW_EMPTY_PASSWORD: yes"), variables("ALLOW_EMPTY_PASSWORD: no")
    )
    anchored = "x-env: &env\n  DB_PASSWORD: {}\nservices:\n  db:\n    image: a:1\n    environment:\n      <<: *env\n"
    yield Plant("default_password", "compose.yaml", anchored.format("admin"), anchored.format("${DB_PASSWORD}"))
    extended = "services:\n  base:\n    environment: {{DB_PASSWORD: '{}'}}\n  db:\n    image: a:1\n    extends: base\n"
    yield Plant("default_password", "compose.yaml", extended.format("admin"), extended.format("${DB_PASSWORD}"))
    yield Plant(
        "default_password",
        COMPOSE,
        service("command: redis-server --requirepass redis"),
        service("command: [redis-server, --requirepass, '${REDIS_PASSWORD}']"),
    )
    yield Plant(
        "default_password",
        COMPOSE,
        service("env_file: [db.variables]"),
        service("env_file: [ok.variables]"),
        beside=(("db.variables", "DB_PASSWORD=admin\n"), ("ok.variables", f"DB_PASSWORD={STRONG}\n")),
    )


def _compose() -> Iterator[Plant]:
    for truth in ("true", "yes", "on", "TRUE", "'true'"):
        yield Plant("privileged_container", COMPOSE, service(f"privileged: {truth}"), service("privileged: false"))
    yield Plant(
        "docker_socket_mounted",
        COMPOSE,
        service("volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']"),
        service("volumes: ['./docker.sock.d:/sockets']"),
    )
    yield Plant(
        "docker_socket_mounted",
        COMPOSE,
        service("volumes: [{type: bind, source: /run/docker.sock, target: /s}]"),
        service("volumes: [{type: volume, source: run, target: /s}]"),
    )
    yield Plant(
        "host_directory_mounted", COMPOSE, service("volumes: ['/:/host']"), service("volumes: ['./data:/data']")
    )
    yield Plant(
        "host_directory_mounted",
        COMPOSE,
        service("volumes: ['/etc/ssh/keys:/k:ro']"),
        service("volumes: ['/etc/localtime:/etc/localtime:ro', '~/etc:/etc', '/srv/agent/data:/data']"),
    )
    yield Plant(
        "docker_socket_mounted",
        COMPOSE,
        service("volumes: ['/run/user/1000/podman/podman.sock:/s']"),
        service("volumes: ['sockets:/run']"),
    )
    yield Plant("host_network", COMPOSE, service("network_mode: host"), service("network_mode: bridge"))
    yield Plant("host_processes", COMPOSE, service('pid: "host"'), service("pids_limit: 100"))
    for capability in ("CAP_SYS_ADMIN", "mac_override"):
        yield Plant(
            "dangerous_capability",
            COMPOSE,
            service(f"cap_add: [{capability}]"),
            service("cap_add: [NET_BIND_SERVICE, IPC_LOCK]"),
        )
    yield Plant(
        "confinement_off",
        COMPOSE,
        service("security_opt: [seccomp:unconfined]"),
        service("security_opt: [no-new-privileges:true]"),
    )
    for image in ("redis", "redis:latest", "registry:5000/redis", "redis:${TAG:-latest}"):
        yield Plant("image_not_pinned", COMPOSE, service(image=image), service(image="registry:5000/redis@sha256:00"))
    for port in (
        "5432:5432",
        "'[::]:6379:6379'",
        "0.0.0.0:${P:-11434}:11434/tcp",
        "{target: 5432, published: 1}",
        "27015-27020:27015-27020",
        "1521:1521",
    ):
        yield Plant(
            "database_port_on_all_addresses",
            COMPOSE,
            service(f"ports: [{port}]" if "{t" in port or "'" in port else f"ports: ['{port}']"),
            service("ports: ['127.0.0.1:5432:5432', '[::1]:6379:6379', '${BIND:-127.0.0.1}:27017:27017', '8080:80']"),
        )
    for safe in (
        f"command: redis-server --requirepass {STRONG}",
        "command: [redis-server, /etc/redis.conf]",
        "environment: [REDIS_PASSWORD_FILE=/run/x]",
    ):
        yield Plant(
            "redis_without_password",
            COMPOSE,
            service("ports: ['6379:6379']", "command: redis-server --save 60 1", image="redis:7.4"),
            service("ports: ['127.0.0.1:6379:6379']", safe, image="redis:7.4"),
        )


def _docker() -> Iterator[Plant]:
    for rule, weak, clean in (
        (
            "docker_tcp_without_tls",
            '"hosts": ["tcp://0.0.0.0:2375"]',
            '"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": true',
        ),
        ("insecure_registry", '"insecure-registries": ["10.0.0.1:5000"]', '"insecure-registries": ["127.0.0.1:5000"]'),
        (
            "insecure_registry",
            '"insecure-registries": ["localhost.example.org:5000"]',
            '"insecure-registries": ["127.0.0.0/8", "::1/128", "[::1]:5000", "http://localhost:5000"]',
        ),
    ):
        yield Plant(rule, "daemon.json", f"{DAEMON}, {weak}}}", f"{DAEMON}, {clean}}}")
    for rule in (
        "docker_logs_without_limit",
        "docker_live_restore_off",
        "docker_user_namespaces_off",
        "docker_containers_reach_each_other",
        "docker_new_privileges",
    ):
        yield Plant(rule, "daemon.json", "{}", f"{DAEMON}}}")
    yield Plant("unreadable_configuration", "daemon.json", "[" * 100_000, f"{DAEMON}}}")
    yield Plant("unreadable_configuration", COMPOSE, "services: {a: 1, a: 2}\n", service())


def _sshd() -> Iterator[Plant]:
    for rule, weak, clean in (
        ("ssh_root_login", "PermitRootLogin yes", "PermitRootLogin no\nPermitRootLogin yes"),
        ("ssh_root_login", "PermitRootLogin no\nMatch Address 10.0.0.0/8\n PermitRootLogin=yes", "permitrootlogin no"),
        ("ssh_root_login", "Include extra.d/*.conf\nPermitRootLogin no", "PermitRootLogin no\nInclude extra.d/*.conf"),
        ("ssh_empty_passwords", "PermitEmptyPasswords yes", "#PermitEmptyPasswords yes"),
        ("ssh_protocol_1", "Protocol 2,1", "Protocol 2"),
        ("ssh_x11_forwarding", "X11Forwarding yes # why", "X11Forwarding no"),
        ("ssh_many_attempts", "MaxAuthTries 20", "MaxAuthTries 4"),
        ("ssh_weak_cryptography", "Ciphers aes256-ctr,3des-cbc", "Ciphers -3des-cbc"),
        ("ssh_weak_cryptography", "MACs +hmac-md5", "MACs hmac-sha2-256-etm@openssh.com"),
        ("ssh_weak_cryptography", "KexAlgorithms ^diffie-hellman-group1-sha1", "KexAlgorithms curve25519-sha256"),
    ):
        beside = (("extra.d/a.conf", "PermitRootLogin yes\n"),) if "Include" in weak else ()
        yield Plant(rule, "sshd_config", f"{SSHD}{weak}\n", f"{SSHD}{clean}\n", beside)
    yield Plant("ssh_password_login", "sshd_config", "PasswordAuthentication yes\n", SSHD)
    yield Plant("ssh_password_login", "sshd_config", "PermitRootLogin no\n", SSHD)


def _postgres() -> Iterator[Plant]:
    strict = "hostssl all all 0.0.0.0/0 scram-sha-256\nlocal all all peer\nhost all all all reject\n"
    for rule, weak in (
        ("postgres_trust", "host all all 0.0.0.0 0.0.0.0 trust"),
        ("postgres_trust", "local all all trust"),
        ("postgres_password_in_clear", "host all all 10.0.0.0/8 password"),
        ("postgres_md5", 'host "all" all ::/0 md5'),
        ("postgres_ident", "host all all samenet ident map=x"),
        ("postgres_unusable_line", "host all all trust"),
    ):
        yield Plant(rule, "pg_hba.conf", f"# who\n{weak}\n", strict)
    hba = (("pg_hba.conf", strict),)
    for rule, weak, clean in (
        ("postgres_listens_everywhere", "listen_addresses = '*'", "listen_addresses = 'localhost'"),
        (
            "postgres_without_tls",
            "listen_addresses '0.0.0.0'\nssl=on\nssl=off",
            "listen_addresses = '10.0.0.5'\nssl = on",
        ),
        ("postgres_md5_passwords", "password_encryption = md5", "password_encryption = 'scram-sha-256'"),
        ("postgres_unsafe_writes", "fsync = off", "#fsync = off"),
        ("postgres_unsafe_writes", "include 'more.inc'", "include_if_exists 'none.inc'"),
    ):
        beside = (*hba, ("more.inc", "fsync = off\n")) if "more" in weak else hba
        yield Plant(rule, "postgresql.conf", f"{PG}{weak}\n", f"{PG}{clean}\n", beside)
    yield Plant("postgres_connections_not_logged", "postgresql.conf", "fsync = on\n", PG)


def _redis() -> Iterator[Plant]:
    acl = f"bind 127.0.0.1\nuser default on >{STRONG} ~* +@all -@dangerous\n"
    for rule, weak, clean in (
        ("redis_open", "bind 0.0.0.0\nprotected-mode no", REDIS),
        ("redis_open", "protected-mode no", acl),
        ("redis_no_password", "bind 127.0.0.1", REDIS),
        ("redis_unprotected", f"bind *\nprotected-mode no\nrequirepass {STRONG}", REDIS),
        ("redis_dangerous_commands", f"requirepass {STRONG}", acl),
        ("default_password", "requirepass redis123", REDIS),
        ("weak_password", "include extra.conf", REDIS),
    ):
        beside = (("extra.conf", "requirepass canary9\n"),) if "include" in weak else ()
        yield Plant(rule, "redis.conf", f"{weak}\n", clean, beside)


EXPORTER = dedent(f"""\
    postgres:
      dsn: postgresql://app:{STRONG}@db/x
    redis:
      password: {STRONG}
      url: redis://127.0.0.1:6379
    """)


WELL_KEPT = {
    COMPOSE: dedent("""\
        x-common: &common
          restart: unless-stopped
          logging: {driver: json-file, options: {max-size: 10m}}
        services:
          postgres:
            <<: *common
            image: postgres:16.4-alpine
            environment:
              POSTGRES_DB: sutazai
              POSTGRES_USER: sutazai
              POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?set it}
              POSTGRES_INITDB_ARGS: --auth-host=scram-sha-256
            volumes: [pg:/var/lib/postgresql/data]
            ports: ["127.0.0.1:5432:5432"]
            healthcheck: {test: ["CMD-SHELL", "pg_isready -U $${POSTGRES_USER}"]}
          redis:
            <<: *common
            image: redis:7.4
            command: redis-server --requirepass ${REDIS_PASSWORD} --appendonly yes
          ollama:
            <<: *common
            image: ollama/ollama:0.3.12
            volumes: [ollama:/root/.ollama]
            deploy: {resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}
          backend:
            build: .
            env_file: [.env]
            environment:
              - DATABASE_URL=postgresql://sutazai:${POSTGRES_PASSWORD}@postgres:5432/sutazai
              - REDIS_URL=redis://:${REDIS_PASSWORD}@redis:6379/0
              - JWT_SECRET=${JWT_SECRET}
              - ACCESS_TOKEN_EXPIRE_MINUTES=30
              - PASSWORD_MIN_LENGTH=12
            ports: ["8000:8000"]
          grafana:
            image: grafana/grafana:11.0.0
            environment:
              GF_SECURITY_ADMIN_PASSWORD__FILE: /run/secrets/grafana
              GF_AUTH_ANONYMOUS_ENABLED: "false"
            secrets: [grafana]
        secrets:
          grafana: {file: ./secrets/grafana}
        volumes: {pg: , ollama: }
        """),
    ".env": dedent("""\
        POSTGRES_PASSWORD=kJ8sd7fG2lQ0zX4v
        REDIS_PASSWORD="Zx9-pL2_mN4.qR7t"
        JWT_SECRET=9f86d081884c7d659a2feaa0c55ad015
        OPENAI_API_KEY=
        TOKENIZERS_PARALLELISM=false
        """),
}
"""A whole stack as a careful operator keeps it."""
