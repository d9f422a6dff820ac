"""Changes who may connect to a running PostgreSQL server of a test's own, and how."""

from __future__ import annotations

import shutil

from tests.services.certificates import make
from tests.services.postgres import PostgresServer


def allow(server: PostgresServer, *lines: str) -> None:
    """Put lines before those of its pg_hba.conf."""
    path = server.data_dir / "pg_hba.conf"
    path.write_text("\n".join([*lines, path.read_text()]))
    server.execute("SELECT pg_reload_conf()")


def serve_tls(server: PostgresServer) -> None:
    """Give it a certificate, and have it offer TLS."""
    made = make(rsa_bits=2048)
    owner = server.data_dir.owner()
    for name, content in (("server.crt", made.cert_pem), ("server.key", made.key_pem)):
        path = server.data_dir / name
        path.write_bytes(content)
        path.chmod(0o600)
        shutil.chown(path, owner)
    server.execute("ALTER SYSTEM SET ssl = on")
    server.execute("SELECT pg_reload_conf()")
