"""What there is: our own pair, files that are listed, files in directories, and what endpoints serve."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.certificates.reading import EndpointReading, FileReading, read_found, read_listed
from jobs.certificates.settings import OWN, OWN_KEY, CertificateFile, Endpoint, Settings
from jobs.clients.certificates import CertificateFacts, facts_of, read_chain
from jobs.clients.errors import ClientError
from jobs.clients.tls import Served, served_certificate
from jobs.clients.trust import read_authorities
from jobs.core.side_by_side import side_by_side

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from jobs.clients import Clients

_SUFFIXES = (".pem", ".crt", ".cer")
_MAX_DEPTH = 3
_MAX_ENTRIES = 20_000
_NAME_LOOKUP_SECONDS = 5.0
"""What an endpoint may take beyond its own limit: looking up a name cannot be interrupted."""


@dataclass(frozen=True)
class Inventory:
    """Everything that was found; the first of `files` is our own pair. `left_out` says what was not looked at."""

    files: tuple[FileReading, ...]
    endpoints: tuple[EndpointReading, ...]
    left_out: tuple[str, ...] = ()

    @property
    def own(self) -> FileReading:
        """ssl/cert.pem."""
        return self.files[0]

    def endpoints_of(self, path: Path) -> list[EndpointReading]:
        """The endpoints that should serve the certificate in `path`, a path as it stands in the settings."""
        return [one for one in self.endpoints if one.endpoint.certificate == path]


@dataclass
class Looker:
    """Takes the inventory. Nothing that is looked at can stop it."""

    settings: Settings
    clients: Clients
    _authorities: dict[Path | None, list[Certificate]] = field(default_factory=dict)

    def look(self) -> Inventory:
        """Everything as it is now."""
        base, now, report = self.clients.base_dir, self.clients.clock.now(), self.clients.report
        listed, left_out = listed_files(self.settings), list[str]()
        report.progress(0, 2, "reading certificate files")
        files = [read_listed(entry, base, self.authorities, now) for entry in listed]
        known = {reading.path for reading in files}
        for path in self._found(left_out):
            if path not in known and (reading := read_found(path, base, self.authorities, now)):
                files.append(reading)
        report.progress(1, 2, "asking endpoints")
        endpoints = read_endpoints(self.settings.endpoints, base, self.clients.clock.monotonic)
        return Inventory(tuple(files), tuple(endpoints), tuple(left_out))

    def authorities(self, file: Path | None) -> Sequence[Certificate]:
        """The authorities of a CA file, or the system's; read once."""
        if file not in self._authorities:
            self._authorities[file] = read_authorities(self.clients.base_dir / file if file else None)
        return self._authorities[file]

    def _found(self, left_out: list[str]) -> list[Path]:
        base, limit = self.clients.base_dir, self.settings.max_directory_files
        # Old versions are kept there, and grow older.
        ours = {base / "ssl" / "versions", base / "ssl" / "current"}
        found = sorted({path for one in self.settings.directories for path in pem_files(base / one, ours, left_out)})
        if len(found) > limit:
            left_out.append(f"{len(found) - limit} files beyond max_directory_files ({limit})")
        return found[:limit]


def listed_files(settings: Settings) -> list[CertificateFile]:
    """Our own pair, with what the settings say of it, then the other files that they list."""
    own = next((one for one in settings.files if one.path == OWN), CertificateFile(path=OWN))
    own = own.model_copy(update={"key": own.key or OWN_KEY})
    return [own, *(one for one in settings.files if one.path != OWN)]


def pem_files(directory: Path, skipped: Iterable[Path], left_out: list[str]) -> Iterator[Path]:
    """Files in a directory that are named as certificates are; what cannot be looked at goes into `left_out`."""
    seen, leave = 0, set(skipped)

    def complain(error: OSError) -> None:
        left_out.append(f"{error.filename}: {error.strerror}")

    for parent, directories, names in os.walk(directory, onerror=complain):
        here = Path(parent)
        deep = len(here.relative_to(directory).parts) >= _MAX_DEPTH
        directories[:] = [] if deep else [name for name in directories if here / name not in leave]
        yield from (here / name for name in names if name.endswith(_SUFFIXES))
        seen += len(names)
        if seen > _MAX_ENTRIES:
            left_out.append(f"{directory} has more than {_MAX_ENTRIES} entries")
            return


def read_endpoints(
    endpoints: Sequence[Endpoint], base_dir: Path, monotonic: Callable[[], float], limit_seconds: float | None = None
) -> list[EndpointReading]:
    """What each endpoint serves, asked side by side; `limit_seconds` is for all of them, else each has its own."""
    if not endpoints:
        return []
    limits = [min(one.timeout_seconds, limit_seconds or one.timeout_seconds) for one in endpoints]
    tasks = [_asking(one, base_dir, limit) for one, limit in zip(endpoints, limits, strict=True)]
    whole = limit_seconds if limit_seconds is not None else max(limits) + _NAME_LOOKUP_SECONDS
    answers: dict[int, EndpointReading] = {}
    for ended in side_by_side(tasks, whole, monotonic):
        endpoint = endpoints[ended.index]
        on_disk = certificate_on_disk(endpoint, base_dir)
        if isinstance(ended.value, Served):
            answers[ended.index] = EndpointReading(endpoint, ended.value, "", on_disk)
        else:
            answers[ended.index] = EndpointReading(endpoint, None, _told(ended.error), on_disk)
    silent = [f"{one.address} did not answer within {whole:g} s" for one in endpoints]
    return [answers.get(i, EndpointReading(one, None, silent[i])) for i, one in enumerate(endpoints)]


def certificate_on_disk(endpoint: Endpoint, base_dir: Path) -> CertificateFacts | None:
    """The certificate that an endpoint should serve; None where none is named or it cannot be read."""
    if endpoint.certificate is None:
        return None
    try:
        return facts_of(read_chain(base_dir / endpoint.certificate)[0])
    except ClientError:
        return None  # told where the file itself is looked at, or below, where it is not


def _asking(endpoint: Endpoint, base_dir: Path, limit_seconds: float) -> Callable[[], Served]:
    return lambda: served_certificate(
        endpoint.host,
        endpoint.port,
        protocol=endpoint.protocol,
        server_name=endpoint.server_name or endpoint.host,
        ca_file=base_dir / endpoint.ca_file if endpoint.ca_file else None,
        timeout_seconds=limit_seconds,
    )


def _told(error: Exception | None) -> str:
    if isinstance(error, ClientError):
        return str(error)
    raise error if error is not None else AssertionError("a task ends with a value or an error")
