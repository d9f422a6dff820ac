"""An engine with the exporter's image in it, built by its Dockerfile, in a network of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.services.binaries import need
from tests.services.docker_engine import DockerEngine
from tests.services.exporter_daemon import REPOSITORY
from tests.services.network_world import NetworkWorld
from tests.services.process import Process
from tests.services.python_image import BUILDER_IMAGE, PYTHON_IMAGE, make_python_images

IMAGE = "sutazai-exporter"
"""As compose.yaml calls it."""


class ImageEngine:
    """`engine` has IMAGE; its containers share the network of `world`, where every port is free."""

    def __init__(self) -> None:
        self.world = NetworkWorld()
        try:
            self.engine = DockerEngine(layers=True, prefix=self._prefix())
            directory = self.world.directory / "images"
            directory.mkdir()
            make_python_images(self.engine, directory)
            self.engine.build(REPOSITORY, IMAGE, BASE=PYTHON_IMAGE, BUILDER=BUILDER_IMAGE)
            shutil.rmtree(directory)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the engine, and remove everything."""
        if hasattr(self, "engine"):
            self.engine.close()
        if hasattr(self, "_mounts"):
            self._mounts.stop()
        self.world.close()

    def _prefix(self) -> list[str]:
        """What moves a program into the network, and to mounts of the engine's own that are shared, as where systemd

        runs: node_exporter's container asks for that.
        """
        unshare = [need("unshare", package="util-linux"), "--mount", "--propagation", "shared", "sleep", "infinity"]
        self._mounts = Process(unshare, log_file=self.world.directory / "mounts.log")
        comm = Path(f"/proc/{self._mounts.pid}/comm")
        self._mounts.wait_ready(lambda: comm.read_text() == "sleep\n", "the mounts are shared")
        nsenter = need("nsenter", package="util-linux")
        return [nsenter, f"--mount=/proc/{self._mounts.pid}/ns/mnt", f"--net=/run/netns/{self.world.name}"]
