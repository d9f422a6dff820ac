"""What is in the images: known vulnerabilities, secrets and bad configuration, by Trivy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.clients.errors import Absent, ClientError
from jobs.clients.trivy import MISCONFIGURATIONS, SECRETS, VULNERABILITIES, Trivy
from jobs.core.images import Image, without_digest
from jobs.security.containers.audit import STOPPED, containers
from jobs.security.containers.image_report import ImageReport, parse_report
from jobs.security.scanner import Area, Look, NothingHere, Scanner

IGNORE_FILE = Path("config", ".trivyignore.yaml")
"""Below the base directory: what Trivy is to leave out, each entry until its `expired_at`."""
_ID_CHARACTERS = 19
_SECONDS_PER_DAY = 86_400


def scan(look: Look) -> None:
    """Scan the images of containers that run, in a full scan every local image; each id once."""
    chosen = wanted(look)
    trivy = _trivy(look)
    if look.settings.containers.trivy.update_database and not look.dry_run:
        _update(look, trivy)
    has_database = _database(look, trivy)
    failed = _scan_all(look, chosen, trivy, (*((VULNERABILITIES,) if has_database else ()), SECRETS, MISCONFIGURATIONS))
    if not has_database:
        raise ClientError(
            "vulnerabilities were not looked for: trivy has no database of them; "
            "run 'trivy image --download-db-only' as the same user, or set update_database"
        )
    if failed is not None and not look.so_far().scanned:
        raise failed


IMAGES = Scanner(
    name="trivy",
    area=Area.CONTAINERS,
    summary="What is in images: known vulnerabilities, secrets, bad configuration",
    unit="images",
    scan=scan,
)


def wanted(look: Look) -> list[Image]:
    """The images to be scanned, each with a name to be called by."""
    used: dict[str, str] = {}
    for container in containers(look):
        if look.full or container.state not in STOPPED:
            used.setdefault(container.image_id, without_digest(container.image))
    local = {image.id: image for image in look.clients.docker.images()}
    ids = dict.fromkeys((*used, *local)) if look.full else used
    if not ids:
        what = "has no image" if look.full else "runs no container"
        raise NothingHere(f"the Docker engine {what}", sure=True)
    return [Image(one, _called(one, local.get(one), used.get(one, ""))) for one in ids]


def _called(identity: str, image: Image | None, used_as: str) -> str:
    """Its own name, else what a container calls it (its tag may have gone on to a newer one), else its id."""
    if image is not None and image.name:
        return image.name
    is_id = identity.removeprefix("sha256:").startswith(used_as.removeprefix("sha256:"))
    return identity[:_ID_CHARACTERS] if is_id else used_as


def _trivy(look: Look) -> Trivy:
    settings, url = look.settings.containers.trivy, look.clients.docker.url
    try:
        return Trivy(settings.program, url, cache_dir=settings.cache_dir, keeps_cache=not look.dry_run)
    except Absent as error:
        remedy = "install Trivy (https://trivy.dev), or set jobs.security_scan.containers.trivy.program"
        raise Absent(f"{error}: {remedy}") from None


def _update(look: Look, trivy: Trivy) -> None:
    """With an older database there is still much to find, so a failure is told and no more."""
    try:
        trivy.update(_limit_seconds(look))
    except ClientError as error:
        look.go_on()
        look.missed(f"trivy's databases could not be brought up to date: {error}")


def _database(look: Look, trivy: Trivy) -> bool:
    """Whether there is a database of vulnerabilities; tells its age."""
    version = trivy.version()
    look.detail("trivy_version", version.program)
    if version.database_at is None:
        return False
    look.detail("database_timestamp_seconds", version.database_at.timestamp())
    age_days = (look.clients.clock.now() - version.database_at).total_seconds() / _SECONDS_PER_DAY
    if age_days > look.settings.containers.trivy.max_database_age_days:
        told = f"vulnerabilities published in the last {age_days:.0f} days: trivy's database is as old as that"
        look.missed(told, "what is not published yet")  # whether what was found before is still there is known
    return True


def _scan_all(look: Look, images: Sequence[Image], trivy: Trivy, scanners: Sequence[str]) -> ClientError | None:
    """Scan one image after the other, as each fills the cores by itself; return the last failure. All are told."""
    failed = None
    for image in images:
        look.go_on()
        try:
            report = _report(look, trivy, image, scanners)
        except ClientError as error:
            look.go_on()  # ended at the limit of the whole scan, it is not the image's fault
            look.missed(f"image {image.name}: {error}", f"{image.name}/")
            failed = error
            continue
        for weakness in report.weaknesses:
            look.found(weakness)
        if report.packages or VULNERABILITIES not in scanners:
            look.scanned()
        else:
            look.missed(
                f"image {image.name}: trivy recognises no package in it: vulnerabilities are unknown", f"{image.name}/"
            )
    return failed


def _report(look: Look, trivy: Trivy, image: Image, scanners: Sequence[str]) -> ImageReport:
    ignore_file = look.clients.base_dir / IGNORE_FILE
    answer = trivy.report(
        image.id,
        scanners,
        timeout_seconds=_limit_seconds(look),
        ignore_file=ignore_file if ignore_file.exists() else None,
        ignore_unfixed=look.settings.containers.trivy.ignore_unfixed,
    )
    try:
        return parse_report(answer, image.name)
    except ValueError as error:
        raise ClientError(f"trivy's report on it is nonsense: {error}") from None


def _limit_seconds(look: Look) -> float:
    return max(0.1, min(look.settings.containers.trivy.max_image_seconds, look.left_seconds))
