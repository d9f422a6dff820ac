"""A new pair is tried before anything uses it: read back from the disk, judged, and served once on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from jobs.certificates.issue import Authority, Wanted
from jobs.certificates.versions import CERT, KEY
from jobs.clients.certificates import CertificateFacts, facts_of, read_chain, read_key
from jobs.clients.errors import ClientError
from jobs.clients.trust import is_signed_by
from jobs.core.certificates import covers

_HANDSHAKE_SECONDS = 10.0


def check_pair(directory: Path, wanted: Wanted, authority: Authority | None, now: datetime) -> CertificateFacts:
    """The facts of the pair in `directory`; ClientError with the reason where it must not be used."""
    chain = read_chain(directory / CERT)
    facts, key = facts_of(chain[0]), read_key(directory / KEY)
    signer = chain[0] if authority is None else authority.certificate
    missing = [name for name in wanted.names if not covers(facts.names, name)]
    for wrong, reason in (
        (key.key_digest != facts.key_digest, "its key belongs to another certificate"),
        (not facts.not_before <= now < facts.not_after, "it is not valid now"),
        (bool(missing), f"it is not for {', '.join(missing[:5])}"),
        (bool(facts.weaknesses), "; ".join(facts.weaknesses)),
        (not is_signed_by(chain[0], signer), "it is not signed as it should be"),
        (key.mode != 0o600, f"its key has the mode {key.mode:04o}"),
    ):
        if wrong:
            raise ClientError(f"the new certificate fails its check: {reason}")
    handshake(directory, directory / CERT if authority is None else authority.file, _name_to_ask_for(wanted))
    return facts


def handshake(directory: Path, ca_file: Path, server_name: str) -> None:
    """Serve the pair on a listener of its own and connect as a strict client does; ClientError where that fails."""
    try:
        server, client = _contexts(directory, ca_file)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(_HANDSHAKE_SECONDS)
            thread = threading.Thread(target=_serve_once, args=(listener, server), daemon=True)
            thread.start()
            where = listener.getsockname()
            with (
                socket.create_connection(where, timeout=_HANDSHAKE_SECONDS) as connection,
                client.wrap_socket(connection, server_hostname=server_name) as tls,
            ):
                tls.recv(1)  # with TLS 1.3 the server's verdict comes after the handshake
            thread.join(_HANDSHAKE_SECONDS)
    except (OSError, ValueError) as error:
        reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
        raise ClientError(f"the new certificate fails a TLS handshake: {reason}") from None


def _contexts(directory: Path, ca_file: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / CERT, directory / KEY)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(ca_file)
    # A CA that is itself signed by another is trusted as it stands; its root need not be here.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return server, client


def _serve_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    # The client's side tells what went wrong.
    with suppress(OSError):
        connection, _ = listener.accept()
        connection.settimeout(_HANDSHAKE_SECONDS)
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"1")


def _name_to_ask_for(wanted: Wanted) -> str:
    """The first name; a wildcard is asked for by a name that it stands for."""
    return wanted.names[0].replace("*", "any", 1)
