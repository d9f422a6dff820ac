"""What compose.yaml asks for: this machine's own programs as images under the names that it gives them.

Prometheus, Alertmanager, node_exporter and HAProxy are Debian's, of other versions than those named there. For Grafana,
which cannot be had, stands a web server that starts only if it can read what Grafana is given.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.services.binaries import need
from tests.services.exporter_daemon import REPOSITORY
from tests.services.exporter_image import ImageEngine
from tests.services.image_tree import ImageTree, program_image

FILE = REPOSITORY / "compose.yaml"
_GRAFANA = """set -e
test -s "$GF_SECURITY_ADMIN_PASSWORD__FILE"
test -s /etc/grafana/provisioning/datasources/sutazai.yml -a -s /etc/grafana/provisioning/dashboards/sutazai.yml
test -s /var/lib/grafana/dashboards/sutazai/sutazai-overview.json
echo ok >"$GF_PATHS_DATA/health"
mkdir -p /tmp/www/api && cp "$GF_PATHS_DATA/health" /tmp/www/api/health
trap 'exit 0' TERM
httpd -f -p "$GF_SERVER_HTTP_ADDR:$GF_SERVER_HTTP_PORT" -h /tmp/www &
wait $!
"""


class ComposeWorld:
    """`up` starts everything, by a real docker-compose on an engine of its own, with the files of this checkout."""

    def __init__(self, images: ImageEngine) -> None:
        self._images, self.engine = images, images.engine
        self._compose = need("docker-compose", package="docker-compose")
        self.document: dict[str, Any] = yaml.safe_load(FILE.read_text())
        self._environment = {**self.engine.environment, "DOCKER_SOCKET": str(self.engine.socket)}
        self._provide()

    def run(self, *arguments: str, timeout_seconds: float = 300, **environment: str) -> str:
        """What `docker-compose ARGUMENTS` prints; AssertionError where it fails."""
        done = subprocess.run(
            [self._compose, "--file", str(FILE), "--project-name", "sutazai", *arguments],
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{self.logs()}"
        return done.stdout

    def up(self, **environment: str) -> None:
        """Start, or change, everything."""
        self.run("up", "--detach", "--no-build", **environment)

    def down(self) -> None:
        """Remove everything, volumes as well."""
        self.run("down", "--volumes")

    def inspect(self, service: str) -> dict[str, Any]:
        """What `docker inspect` says of a service's container."""
        label = f"com.docker.compose.service={service}"
        found: dict[str, Any] = self.engine.client.containers.list(all=True, filters={"label": label})[0].attrs
        return found

    def exec(self, service: str, *command: str) -> str:
        """What a command in a service's container prints."""
        return self.engine.cli("exec", self.inspect(service)["Id"], *command)

    def logs(self) -> str:
        """The last lines of every container."""
        found = self.engine.client.containers.list(all=True, ignore_removed=True)
        return "\n".join(f"{c.name} ({c.status}): {c.logs(tail=15).decode(errors='replace')}" for c in found)

    def _provide(self) -> None:
        image = {name: service.get("image") for name, service in self.document["services"].items()}
        programs = {
            "prometheus": (need("prometheus", package="prometheus"), "prometheus", ["prometheus"]),
            "alertmanager": (
                need("prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager"), "alertmanager", [],
            ),
            "node-exporter": (
                need("prometheus-node-exporter", "node_exporter", package="prometheus-node-exporter"),
                "node_exporter", [],
            ),
            "docker-proxy": (need("haproxy", package="haproxy"), "haproxy", []),
        }  # fmt: skip
        # Debian's Alertmanager has its templates in files.
        templates = Path("/usr/share/prometheus/alertmanager")
        for service, (program, name, data) in programs.items():
            share = [templates] if name == "alertmanager" and templates.is_dir() else []
            archive = program_image(self._archive(), Path(program), name, data, share)
            # As the real ones: all but HAProxy's, whose entry point is a script that runs what it is told.
            entry = [] if name == "haproxy" else [f'ENTRYPOINT ["/bin/{name}"]']
            self.engine.import_image(archive, image[service], "USER 65534", *entry)
        tree = ImageTree(self._archive())
        tree.text("start", _GRAFANA)
        self.engine.import_image(tree.finish(), image["grafana"], 'ENTRYPOINT ["/bin/sh", "/start"]', "USER 472")

    def _archive(self) -> Path:
        return self._images.world.directory / "image.tar"
