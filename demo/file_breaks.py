"""What can go wrong with files: logs, certificates, backups, locks. All of them are the demo's own."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.layout import DemoError
from demo.scene import Scene
from exporter.locks import Busy, FileLock
from jobs.core.files import atomic_write

_LINE = b"demo-worker: the same words, line after line, as a program says them that is in a loop\n"
_LINES = 4_000_000 // len(_LINE)
_held: list[FileLock] = []


def fill_log(scene: Scene) -> None:
    """Write what is too much, and have it looked at; where the last measure is too fresh, the next look finds it."""
    with scene.layout.log.open("ab") as log:
        log.writelines([_LINE] * _LINES)
    scene.start("log-rotation", "watch")


def count_lines(scene: Scene) -> None:
    """Say where the lines are; DemoError if one of them is nowhere."""
    archives = sorted((scene.layout.base / "archive" / "logs").glob("*demo-agent*.gz"))
    archived = sum(gzip.decompress(archive.read_bytes()).count(_LINE) for archive in archives)
    live = scene.layout.log.read_bytes().count(_LINE)
    scene.say(f"            {archived} lines are in {len(archives)} archive(s), {live} in the log")
    if (archived + live) % _LINES:
        raise DemoError(f"{archived + live} lines are no multiple of the {_LINES} that were written", 1)


def expire_certificate(scene: Scene) -> None:
    """Put a certificate and its key in place that were good until yesterday."""
    certificate, key = _expired_pair("demo.localhost")
    directory = scene.layout.base / "ssl"
    directory.mkdir(mode=0o700, exist_ok=True)
    for name, content, mode in (("key.pem", key, 0o600), ("cert.pem", certificate, 0o644)):
        (directory / name).unlink(missing_ok=True)  # the renewal's are links into the directory of a version
        atomic_write(directory / name, content, mode=mode)
    scene.run("certificate-renewal", "watch")


def _expired_pair(name: str) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=90)).not_valid_after(now - timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(pem), key.private_bytes(pem, form, serialization.NoEncryption())


def corrupt_backup(scene: Scene) -> None:
    """Make a backup and damage it."""
    scene.run("database-maintenance", "backup")
    backup = _backups(scene)[-1]
    _damaged_by(scene).write_text(str(backup))
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 4
    # In place, as a disk does it: not by a new file.
    with backup.open("r+b") as file:
        file.write(content)
    scene.say(f"            one bit of {backup.name} is another one now")
    scene.run("backup-verification", "standard")


def throw_away_backup(scene: Scene) -> None:
    """Remove the damaged backup with what belongs to it, if it has come to that."""
    if not (note := _damaged_by(scene)).exists():
        return
    damaged = Path(note.read_text())
    for file in damaged.parent.glob(f"{damaged.name}*"):
        file.unlink()
    note.unlink()
    scene.run("backup-verification", "standard")


def _damaged_by(scene: Scene) -> Path:
    """Where the demo notes which backup it has damaged."""
    return scene.layout.directory / "damaged"


def _backups(scene: Scene) -> list[Path]:
    """The backups of the configuration, oldest first."""
    found = (scene.layout.base / "backups" / "config").glob("*.tar.gz")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def hold_lock(scene: Scene) -> None:
    """Take the lock that a run of the health check needs, as soon as it is free."""
    file = scene.layout.base / "data" / "locks" / "health-check.lock"

    def taken() -> bool:
        try:
            _held.append(FileLock(file, "the demo, which lets nobody in"))
        except Busy:
            return False
        return True

    scene.wait(taken, 60, "the lock of the health check is free")


def free_lock(scene: Scene) -> None:
    """Give it back, if it was taken."""
    while _held:
        _held.pop().release()
        scene.run("health-check", "light")
