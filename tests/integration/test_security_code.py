"""The scan of source code: real Semgrep on planted trees."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from jobs.clients.errors import Absent, ClientError
from jobs.core.model import Severity
from jobs.security.code.catalogue import BUNDLED, read_rules
from jobs.security.code.semgrep import CODE
from jobs.security.scanner import Look, OutOfTime, Seen
from jobs.security.settings import Settings
from tests.services.code_plants import PLANTS, plant
from tests.services.looks import by_rule, clients_of, look
from tests.services.wait import wait_for


def scan(base_dir: Path, program: str, *, full: bool = True, seconds: float = 120, **settings: Any) -> Seen:
    """What the scanner tells of everything below `base_dir`."""
    return look(CODE, clients_of(base_dir), {"code": {"semgrep": program, **settings}}, full=full, seconds=seconds)


def script(path: Path, text: str) -> str:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings with the rule about eval alone: Semgrep takes most of its time to begin for reading rules."""
    rules = yaml.safe_load((BUNDLED / "python.yaml").read_text())["rules"]
    file = tmp_path_factory.mktemp("rules") / "eval.yaml"
    file.write_text(yaml.safe_dump({"rules": [rule for rule in rules if rule["id"] == "python-eval"]}))
    return {"rules": str(file)}


@dataclass(frozen=True)
class Whole:
    """A full scan of `tree` by every bundled rule, and what strace saw Semgrep connect to and run."""

    tree: Path
    seen: Seen
    calls: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, semgrep: str) -> Whole:
    """Plants and their twins, `secrets` in a good and in a broken file, and a program that Git would be led to run."""
    directory = tmp_path_factory.mktemp("whole")
    tree, calls = directory / "tree", directory / "calls"
    plant(tree)
    (tree / "secrets").mkdir()
    (tree / "secrets" / "a.py").write_text("DB_PASSWORD = 'canary-Tr0ub4dor3'\n")
    (tree / "secrets" / "b.py").write_text("DB_PASSWORD = 'canary-Tr0ub4dor3\n")
    (tree / ".git").mkdir()
    evil = script(directory / "evil", "touch evil-was-here")
    (tree / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {evil}\n")
    strace = f"strace -f -qq --seccomp-bpf -e trace=connect,execve -s 200 -o {calls}"
    seen = scan(tree, script(directory / "traced", f'exec {strace} {semgrep} "$@"'))
    return Whole(tree, seen, calls.read_text())


def test_every_rule_matches_its_plant_and_not_its_clean_twin(whole: Whole) -> None:
    found = {(Path(w.path).parts[-3], Path(w.path).parts[-2], w.rule) for w in whole.seen.weaknesses}
    rules = read_rules(BUNDLED)
    assert set(PLANTS) == set(rules)
    assert [rule for rule in rules if ("weak", rule, rule) not in found] == []
    assert [(rule, match) for kind, rule, match in found if kind == "clean"] == []
    assert whole.seen.scanned == 2 * len(rules) + 2
    broken = whole.tree / "secrets" / "b.py"
    assert [one for one in whole.seen.missed if not one.startswith(f"{broken}: ")] == []


def test_every_rule_says_what_is_weak_and_what_to_do() -> None:
    rules = read_rules(BUNDLED)
    assert len(rules) >= 30
    for rule in rules.values():
        assert rule.message and rule.remedy and rule.cwe, rule.id
        assert "$" not in rule.message


def test_a_standard_scan_has_only_the_rules_that_are_sure(whole: Whole, semgrep: str) -> None:
    rules = [rule for file in BUNDLED.glob("*.yaml") for rule in yaml.safe_load(file.read_text())["rules"]]
    sure = {rule["id"] for rule in rules if rule["severity"] == "ERROR"}
    assert "python-eval" in sure and "python-mktemp" not in sure
    assert set(by_rule(scan(whole.tree, semgrep, full=False))) == sure
    assert set(by_rule(whole.seen)) == {rule["id"] for rule in rules}


def test_a_finding_keeps_its_identity_when_lines_move_and_tells_all_of_them(
    tmp_path: Path, semgrep: str, quick: dict[str, Any]
) -> None:
    source = tmp_path / "app" / "a.py"
    source.parent.mkdir()
    source.write_text("eval(x)\neval(y)\n")
    before = scan(tmp_path, semgrep, **quick).weaknesses
    source.write_text("\n\neval(x)\n\neval(y)\n")
    after = scan(tmp_path, semgrep, **quick).weaknesses
    assert [w.identity(CODE.area) for w in before] == [w.identity(CODE.area) for w in after]
    assert (after[0].subject, after[0].line, after[0].severity) == ("app/a.py", 3, Severity.HIGH)
    assert after[0].message.endswith("(lines 3, 5)")
    assert after[0].url == "https://cwe.mitre.org/data/definitions/95.html"


def test_what_a_hostile_tree_does_to_hide_is_seen_or_told(tmp_path: Path, semgrep: str, quick: dict[str, Any]) -> None:
    """Names that break lines, ignore files, links out of the tree, comments, long files, names that are not UTF-8."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("eval(1 + x)\n")
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    (tree / ".semgrepignore").write_text("*\n")
    (tree / ".gitignore").write_text("*\n")
    (tree / "tests" / "new\nline.py").write_text("eval(x)\n")
    (tree / "-rf.py").write_text("eval(x)\n")
    (tree / "hidden.py").write_text("eval(x)  # nosemgrep\n# nosem: python-eval\neval(y)\n# nosem: other\neval(z)\n")
    (tree / "broken.py").write_text("def (:\n    eval(x)\n")
    (tree / "big.js").write_bytes(b"eval(x);" * (50 << 17))
    (tree / "link.py").symlink_to(outside / "secret.py")
    (tree / "dir").symlink_to(outside)
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff.py")).write_text("eval(x)\n")
    tool = tree / "tool"
    tool.write_text("#!/usr/bin/env python3\neval(x)\n")
    tool.chmod(0o755)
    seen = scan(tree, semgrep, **quick)
    rules = by_rule(seen)
    assert {w.subject for w in rules["python-eval"]} == {"tests/new\\x0aline.py", "-rf.py", "hidden.py", "tool"}
    assert [w.line for w in rules["python-eval"] if w.subject == "hidden.py"] == [5]
    (remark,) = rules["hidden-by-comment"]
    assert (remark.subject, remark.severity) == ("hidden.py", Severity.INFO)
    assert remark.message.endswith("(lines 1, 3)")
    missed = "\n".join(seen.missed)
    assert "broken.py: Semgrep could not look at all of it (PartialParsing)" in missed
    assert "big.js: longer than" in missed
    assert "\ufffd.py: its name is not UTF-8" in missed
    assert len(seen.missed) == 3
    assert seen.scanned == 5
    assert all(text.isprintable() for text in seen.missed)
    assert all(w.message.isprintable() for w in seen.weaknesses)


def test_no_secret_of_the_source_is_in_what_is_told(whole: Whole, tmp_path: Path, semgrep: str) -> None:
    assert "secrets/a.py" in {w.subject for w in by_rule(whole.seen)["python-hard-coded-password"]}
    own = tmp_path / "rules.yaml"
    own.write_text(
        "rules: [{id: own, languages: [python], severity: WARNING, message: 'found $VALUE',"
        f" paths: {{include: ['secrets/*.py', '{whole.tree}/none/**']}}, pattern: '$NAME = \"$VALUE\"'}}]"
    )
    seen = scan(whole.tree / "secrets", semgrep, rules=str(own))
    assert set(by_rule(seen)) == {"own"}
    for told in (whole.seen, seen):
        assert "canary" not in repr(told)


def test_nothing_is_asked_over_the_network_and_no_program_of_the_tree_runs(whole: Whole) -> None:
    assert "semgrep-core" in whole.calls
    assert "AF_INET" not in whole.calls
    assert "evil" not in whole.calls


def test_it_starts_no_process_for_each_file(whole: Whole) -> None:
    begun = [line for line in whole.calls.splitlines() if "execve(" in line and line.endswith(" = 0")]
    assert 0 < len(begun) < whole.seen.scanned / 3, begun


@pytest.mark.parametrize("rules", ["p/ci", "auto", "https://semgrep.dev/p/ci", "rules.yaml"])
def test_rules_of_the_registry_are_refused_in_the_settings(rules: str) -> None:
    with pytest.raises(ValidationError, match="absolute path is needed"):
        Settings.model_validate({"code": {"rules": rules}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("rules: []", "has no Semgrep rules"),
        ("[" * 100_000, "is not a file of Semgrep rules"),
        ("rules: [{id: x, languages: [python], severity: ERROR, message: x, pattern: 'eval((('}]", "with the rule x"),
    ],
    ids=["absent", "empty", "deep", "broken"],
)
def test_rules_that_cannot_be_used_are_a_failure(tmp_path: Path, semgrep: str, content: str | None, said: str) -> None:
    rules = tmp_path / "rules.yaml"
    if content is not None:
        rules.write_text(content)
    (tmp_path / "a.py").write_text("eval(x)\n")
    with pytest.raises(ClientError, match=said):
        scan(tmp_path, semgrep, rules=str(rules))


def test_semgrep_that_is_not_installed_is_absent_and_says_how(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="pip install semgrep in an environment of its own"):
        scan(tmp_path, str(tmp_path / "none"))


def test_a_program_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.clients.semgrep.MAX_ANSWER_BYTES", 1 << 20)
    (tmp_path / "a.py").write_text("eval(x)\n")
    with pytest.raises(ClientError, match="printed more than 1 MiB and was ended"):
        scan(tmp_path, script(tmp_path / "endless", "exec yes"))


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", "[" * 100_000, '{"results": [], "errors": [], "paths": {}}'],
    ids=["empty", "list", "nothing", "deep", "no paths"],
)
def test_an_answer_that_is_none_is_a_failure(tmp_path: Path, answer: str) -> None:
    (tmp_path / "a.py").write_text("eval(x)\n")
    (tmp_path / "answer").write_text(answer)
    with pytest.raises(ClientError, match="semgrep ended with 0 and gave no answer"):
        scan(tmp_path, script(tmp_path / "fake", f"cat {tmp_path}/answer"))


def test_what_was_reached_is_kept_when_the_time_is_over_and_children_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in for Semgrep answers for the first batch; at the second it hangs, and so does its child."""
    monkeypatch.setattr("jobs.security.code.semgrep._BATCH_FILES", 1)
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("eval(x)\n")
    match = {"check_id": "python-eval", "path": f"{tmp_path}/a.py", "start": {"line": 1}}
    answer = {"results": [match], "errors": [], "paths": {"scanned": [f"{tmp_path}/a.py"]}}
    (tmp_path / "answer").write_text(json.dumps(answer))
    hanging = script(
        tmp_path / "hanging.command",
        f'for last; do :; done\n[ "$last" = {tmp_path}/a.py ] && exec cat {tmp_path}/answer\n'
        f"sleep 1000 &\necho $! > {tmp_path}/child\nwait",
    )
    clients = clients_of(tmp_path)
    settings = Settings.model_validate({"code": {"semgrep": hanging}})
    told = Look(settings, clients, full=True, unit="files", deadline=clients.clock.monotonic() + 8)
    with pytest.raises(OutOfTime, match="what it had been through is kept"):
        CODE.scan(told)
    assert [w.subject for w in told.so_far().weaknesses] == ["a.py"]
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}")
    wait_for(lambda: not child.exists() or child.joinpath("stat").read_text().split()[2] == "Z", 60, "its child ends")


def test_a_file_that_goes_away_costs_only_itself(tmp_path: Path, semgrep: str, quick: dict[str, Any]) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("eval(x)\n")
    removing = script(tmp_path / "removing", f'rm -f {tmp_path}/b.py\nexec {semgrep} "$@"')
    seen = scan(tmp_path, removing, **quick)
    assert [w.subject for w in seen.weaknesses] == ["a.py"]
    assert seen.missed == [f"{tmp_path}/b.py: it may not be read, or is gone"]


def test_files_beyond_the_limit_are_told_of(tmp_path: Path) -> None:
    """The stand-in for Semgrep says that it has looked at every file that it was given."""
    for number in range(4):
        (tmp_path / f"{number}.py").write_text("eval(x)\n")
    echo = script(
        tmp_path / "echo.command",
        'while [ "$1" != -- ]; do shift; done; shift\n'
        'printf \'{"results": [], "errors": [], "paths": {"scanned": [\'; printf \'"%s"\' "$1"; shift\n'
        "for file; do printf ', \"%s\"' \"$file\"; done; printf ']}}'",
    )
    seen = scan(tmp_path, echo, max_files=2)
    assert seen.scanned == 2
    assert seen.missed == [f"{tmp_path}: more than 2 files; those after them were not looked at"]


def test_semgrep_needs_no_more_memory_than_a_run_may_have(tmp_path: Path, semgrep: str, quick: dict[str, Any]) -> None:
    """Its core would take a stack of 1 GB for each thread, which counts against the limit of a run."""
    (tmp_path / "a.py").write_text("eval(x)\n" * 1000)
    limited = script(tmp_path / "limited.command", f'ulimit -d 786432\nexec {semgrep} "$@"')
    assert scan(tmp_path, limited, **quick).scanned == 1
