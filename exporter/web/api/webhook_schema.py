"""What Alertmanager's webhook sends, as far as it is read (`exporter.bridge.incoming.intake`), as a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_DAY = r"(19[7-9]\d|[2-8]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_TIME = {"type": "string", "pattern": f"^{_DAY}T{_CLOCK}$", "examples": ["2026-03-01T06:00:00Z"]}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 64}
_ALERT = {
    "type": "object",
    "required": ["status", "fingerprint", "labels", "startsAt"],
    "properties": {
        "status": {"type": "string", "enum": ["firing", "resolved"]},
        "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{1,64}$", "examples": ["8c4a5f2e1b3d6a70"]},
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "startsAt": _TIME,
        "endsAt": _TIME,
    },
}
WEBHOOK: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "required": ["version", "alerts"],
        "properties": {
            "version": {"type": "string", "enum": ["4"]},
            "alerts": {"type": "array", "items": _ALERT},
        },
    }
)
