"""Checks of files: logs that have outgrown their limit, certificates that end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients import Clients
from jobs.core.certificates import covers
from jobs.core.checks import Answer, Planned, Status, listed, sample
from jobs.core.model import Family
from jobs.core.settings import CertificateSettings

if TYPE_CHECKING:
    from jobs.clients.certificates import CertificateFacts
    from jobs.clients.host import BigFiles

OVERSIZE_LOGS = Family(name="sutazai_log_files_oversize", help="Log files above the size limit.")
FAMILIES = (OVERSIZE_LOGS,)

DEFAULT_CERTIFICATE = Path("ssl/cert.pem")
DEFAULT_LOGS = Path("logs")
_MAX_NAMED = 20


def logs(clients: Clients, directories: Sequence[Path] | None, max_size_mb: int) -> Planned:
    """No log has outgrown its limit."""
    places = [clients.base_dir / directory for directory in directories or (DEFAULT_LOGS,)]
    # Its own logs directory is not there before the first run has written one.
    wanted = directories is not None
    return Planned(
        "logs",
        lambda: clients.host.big_logs(places, max_size_mb * 1024 * 1024),
        lambda found: judge_logs(found, wanted, max_size_mb),
    )


def judge_logs(found: BigFiles, wanted: bool, max_size_mb: int) -> Answer:
    """A log above its limit is a warning, as is a directory that cannot be looked at."""
    big = [f"{path} has {size / 2**20:.0f} MB" for path, size in found.files]
    unseen = [*found.unreadable, *(f"{path}: no such directory" for path in found.missing if wanted)]
    troubles = [*big, *unseen]
    return Answer(
        Status.WARN if troubles else Status.PASS,
        listed(troubles) or f"no log above {max_size_mb} MB",
        {"oversize": len(found.files), "files": [{"path": p, "bytes": s} for p, s in found.files[:_MAX_NAMED]]},
        remedy="rotate it: sutazai-exporter run log-rotation" if big else "",
        samples=(sample(OVERSIZE_LOGS, len(found.files)),),
    )


def certificates(clients: Clients, files: Sequence[Path] | None) -> list[Planned]:
    """Each certificate is valid for some time to come and is for our name."""
    return [_certificate(clients, file, files is not None) for file in files or (DEFAULT_CERTIFICATE,)]


def _certificate(clients: Clients, file: Path, configured: bool) -> Planned:
    def read() -> CertificateFacts:
        from jobs.clients.certificates import read_certificate

        return read_certificate(clients.base_dir / file)

    def judge(found: CertificateFacts) -> Answer:
        return judge_certificate(found, str(file), clients.clock.now(), clients.world.certificate)

    return Planned(f"certificate:{file}", read, judge, configured)


def judge_certificate(found: CertificateFacts, name: str, now: datetime, wanted: CertificateSettings) -> Answer:
    """Not valid now is a failure; few days left and a name that is not ours are warnings."""
    days_left = (found.not_after - now).total_seconds() / 86400
    status, message = Status.PASS, f"{name} is valid for {days_left:.0f} days"
    remedy = "renew it: sutazai-exporter run certificate-renewal"
    if days_left <= 0:
        status, message = Status.FAIL, f"{name} expired on {found.not_after:%Y-%m-%d}"
    elif now < found.not_before:
        status, message = Status.FAIL, f"{name} is not valid before {found.not_before:%Y-%m-%d %H:%M} UTC"
        remedy = "see whether the clock is right"
    elif not covers(found.names, wanted.domain):
        status, message = Status.WARN, f"{name} is not for {wanted.domain} but for {', '.join(found.names[:5])}"
        remedy = "set certificate.domain to the name it is for, or renew it"
    elif days_left < wanted.renewal_threshold_days:
        status, message = Status.WARN, f"{name} expires in {days_left:.0f} days"
    details = {
        "days_left": round(days_left, 1),
        "expires": found.not_after.isoformat(),
        "names": found.names[:_MAX_NAMED],
    }
    return Answer(status, message, details, "" if status is Status.PASS else remedy)
