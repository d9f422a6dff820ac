"""What the scan of the area `code` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from jobs.clients.file_search import NOT_OURS
from jobs.core.settings import AbsolutePath, Seconds, SettingsModel

SOURCE_NAMES = (
    *("*.py", "*.js", "*.jsx", "*.mjs", "*.cjs", "*.ts", "*.tsx", "*.sh", "*.bash"),
    *("Dockerfile", "Dockerfile.*", "*.dockerfile", "*.Dockerfile", "Containerfile"),
)


def _local(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("an absolute path is needed; names of the Semgrep registry (p/ci) and URLs are not accepted")
    return path


LocalRules = Annotated[Path, AfterValidator(_local)]


class CodeSettings(SettingsModel):
    """The area `code`: source is looked through by Semgrep, with rules that are here and without a network."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
    semgrep: str = Field("semgrep", min_length=1, description="Semgrep's program: its path, or its name in PATH.")
    rules: LocalRules | None = Field(
        None, description="File or directory of Semgrep rules that replace those that come with the exporter."
    )
    paths: tuple[AbsolutePath, ...] = Field(
        (), description="Directories and files that are scanned; empty: the base directory."
    )
    names: tuple[str, ...] = Field(
        SOURCE_NAMES, description="Patterns of the names of source files; programs without a suffix are taken as well."
    )
    excluded: tuple[str, ...] = Field(
        (*NOT_OURS, "*.min.js"), description="Patterns of the names of directories and files that are left out."
    )
    max_files: int = Field(20_000, ge=1, le=1_000_000, description="Files beyond this are not scanned, and told of.")
    max_file_bytes: int = Field(1_000_000, ge=1, le=1 << 30, description="A longer file is not scanned, and told of.")
    rule_timeout_seconds: Seconds = Field(10, description="Limit of one rule on one file.")
    max_memory_mb: int = Field(
        768, ge=128, le=1048576, description="Memory for one file; keep it below `max_memory_mb` of the job."
    )
    processes: int = Field(2, ge=1, le=64, description="Files that are looked at side by side.")
