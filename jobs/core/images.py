"""What a Docker engine says about images, parsed from its answer (Docker Engine API 1.41 and later)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jobs.core.answers import items, mapping, text
from jobs.core.containers import clean

IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_BY_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
_NO_NAME = "<none>"


@dataclass(frozen=True)
class Image:
    """A local image: its id (`sha256:…`) and its name without a digest, empty where it has none (any more)."""

    id: str
    name: str


def parse_images(answer: object) -> list[Image]:
    """Given the answer of `GET /images/json`, return its images; ValueError where it is not one."""
    return [_image(mapping(entry)) for entry in items(answer)]


def without_digest(name: str) -> str:
    """`postgres:16` of `postgres:16@sha256:…`: what an image is called whatever it holds today."""
    return name.partition("@")[0]


def is_floating(name: str) -> bool:
    """Whether a name may mean another image tomorrow: it has no digest, and no tag but `latest`."""
    tag = name.rpartition("/")[2].partition(":")[2]
    return "@" not in name and tag in ("", "latest") and not _BY_ID.fullmatch(name)


def _image(raw: dict[str, Any]) -> Image:
    identity = text(raw.get("Id"))
    if not IMAGE_ID.fullmatch(identity):
        raise ValueError("an image's id is sha256: and 64 hexadecimal digits")
    return Image(identity, _name(raw))


def _name(raw: dict[str, Any]) -> str:
    """Its first tag in order, else the repository that it was pulled from by its digest."""
    named = [*sorted(map(text, items(raw.get("RepoTags") or []))), *map(text, items(raw.get("RepoDigests") or []))]
    return next((clean(without_digest(name)) for name in named if not name.startswith(_NO_NAME)), "")
