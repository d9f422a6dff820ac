"""JSON made piece by piece is the JSON that it would be in one."""

from __future__ import annotations

import json

import pytest

from exporter.web.answers import encoded

DOCUMENTS = {
    "long list": {"findings": [{"subject": f"ü\u2028 {i}", "points": i / 3} for i in range(1001)], "none": None},
    "a whole slice": [[], {}, True] * 100,
    "nested": {"a": {"b": {"c": list(range(250))}}, "empty": {}, "nothing": [], 'quoted " key': "\n"},
    "no mapping": "text",
    "names that are numbers": {1: "a", None: [2]},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_in_pieces_is_the_same_document(document: object) -> None:
    assert encoded(document).decode() == json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encoded({"a": [float("nan")]})
