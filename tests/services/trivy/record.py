"""Records anew what the installed Trivy says: `python -m tests.services.trivy.record`."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from jobs.clients.trivy import MISCONFIGURATIONS, SECRETS, VULNERABILITIES, Trivy
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.trivy import CLEAN, TOKEN, WEAK, make_database, make_images

RECORDINGS = Path(__file__).parent / "recordings"


def main() -> None:
    """Write each recording, without the images' ids, the secret and the time of the day."""
    engine = DockerEngine()
    try:
        names = {**make_images(engine), AGENT_IMAGE: str(engine.client.images.get(AGENT_IMAGE).id)}
        with tempfile.TemporaryDirectory() as directory:
            make_database(Path(directory))
            trivy = Trivy("trivy", engine.url, cache_dir=Path(directory))
            for name, recording in ((WEAK, "weak"), (CLEAN, "clean"), (AGENT_IMAGE, "without-packages")):
                said = trivy.report(names[name], (VULNERABILITIES, SECRETS, MISCONFIGURATIONS), timeout_seconds=300)
                text = json.dumps(said, indent=1).replace(names[name].removeprefix("sha256:"), "@ID@")
                text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-01-01T00:00:00Z", text.replace(TOKEN, "@TOKEN@"))
                (RECORDINGS / f"{recording}.json").write_text(f"{text}\n")
    finally:
        engine.close()


if __name__ == "__main__":
    main()
