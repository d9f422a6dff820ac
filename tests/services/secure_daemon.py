"""A daemon with a web configuration file, which a test writes anew while it serves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.metrics import Metrics
from tests.services.trial_jobs import TrialPackage, work
from tests.services.wait import wait_for
from tests.services.web_pki import Answer, WebPki, curl, write_web_config

READ_ANEW = 'msg="web configuration read anew"'
READY_SECONDS = 60


class SecureDaemon:
    """`daemon` serves as `pki.directory/web.yml` says; `web` are further settings of `web`.

    As a context it is closed at the end, and has logged no traceback until then.
    """

    def __init__(self, pki: WebPki, package: TrialPackage, config: Mapping[str, Any] | str, **web: Any) -> None:
        self.pki = pki
        self.file: Path = write_web_config(pki.directory / "web.yml", config)
        document = work(web={"config_file": str(self.file), **web})
        self.daemon = ExporterDaemon(document, environment=package.environment, wait=False)
        try:
            self.daemon.wait_log("msg=serving", READY_SECONDS)
        except BaseException:
            self.daemon.close()
            raise

    def use(self, config: Mapping[str, Any] | str) -> None:
        """Write another web configuration file and wait until it is in force."""
        before = self.daemon.log().count(READ_ANEW)
        write_web_config(self.file, config)
        self.wait_read(before + 1)

    def wait_read(self, times: int) -> None:
        """Wait until it has been read anew so many times since the start."""
        wait_for(
            lambda: self.daemon.log().count(READ_ANEW) >= times, 30, "it is read anew", detail=lambda: self.daemon.log()
        )

    def url(self, path: str, scheme: str = "https") -> str:
        """A path of it, by the name that its certificate has."""
        return f"{scheme}://localhost:{self.daemon.port}{path}"

    def ask(self, path: str, *arguments: str, user: str = "", scheme: str = "https") -> Answer:
        """One request by curl, which trusts the CA."""
        return curl(self.url(path, scheme), "--cacert", str(self.pki.ca_file), *arguments, user=user)

    def metrics(self, *arguments: str, user: str = "", scheme: str = "https") -> Metrics:
        """What it exposes."""
        answer = self.ask("/metrics", *arguments, user=user, scheme=scheme)
        assert answer.status == 200, (answer.code, answer.error, answer.text)
        return Metrics(answer.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        log = self.daemon.log()
        self.close()
        # What failed already is the better reason.
        assert kind or "Traceback" not in log, log

    def close(self) -> None:
        """Stop it."""
        self.daemon.close()
