"""The exposition as a file; tests/integration/test_textfile_node_exporter.py has a real reader."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from exporter.exposition import Exposition
from exporter.textfile import write_textfile
from jobs.core.model import Family
from tests.services.metrics import Metrics


@pytest.fixture
def exposition() -> Exposition:
    made = Exposition((Family(name="t_value", help="A value."),))
    made.set("t_value", 1)
    return made


def test_the_file_is_whole_world_readable_and_without_timestamps(exposition: Exposition, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        file = write_textfile(tmp_path, exposition)
    finally:
        os.umask(before)
    assert file == tmp_path / "sutazai.prom"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.read_text() == "# HELP t_value A value.\n# TYPE t_value gauge\nt_value 1\n"
    assert Metrics(file.read_text()).value("t_value") == 1
    assert [f.name for f in tmp_path.iterdir()] == ["sutazai.prom"]


def test_it_is_replaced_not_written_over(exposition: Exposition, tmp_path: Path) -> None:
    with write_textfile(tmp_path, exposition).open() as reader:
        exposition.set("t_value", 2)
        write_textfile(tmp_path, exposition)
        assert reader.read().endswith("t_value 1\n")
    assert (tmp_path / "sutazai.prom").read_text().endswith("t_value 2\n")


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(exposition: Exposition, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_textfile(tmp_path / "file", exposition)
