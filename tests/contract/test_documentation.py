"""The references in docs/ are what the commands print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.services.exporter_daemon import REPOSITORY


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("configuration.md", ("config", "reference")),
        ("metrics.md", ("metrics", "--format", "markdown")),
        ("alert-rules.md", ("rules", "--table")),
        ("command-line.md", ("reference",)),
    ],
)
def test_the_reference_is_what_its_command_prints(run_cli: Callable[..., Any], page: str, command: Any) -> None:
    printed = run_cli(*command).stdout
    assert printed.startswith("| ")
    assert printed in (REPOSITORY / "docs" / page).read_text(), (
        f"docs/{page}: run `sutazai-exporter {' '.join(command)}`"
    )
