"""The pages about rules say what the rules are."""

from __future__ import annotations

from jobs.security.code.catalogue import BUNDLED, read_rules
from jobs.security.configuration.rules import RULES
from tests.services.exporter_daemon import REPOSITORY


def table(page: str) -> list[str]:
    """The rows of a page's last table."""
    return (REPOSITORY / "docs" / page).read_text().rpartition("|---|\n")[2].splitlines()


def test_every_rule_of_configuration_files_is_on_its_page() -> None:
    rows = [f"| `{name}` | {rule.severity} | {rule.remedy} |" for name, rule in RULES.items()]
    assert table("security-configuration.md") == rows


def test_every_rule_of_source_code_is_on_its_page() -> None:
    rules = read_rules(BUNDLED).values()
    rows = [f"| `{rule.id}` | {rule.severity} | {rule.message} | [{rule.cwe}]({rule.url}) |" for rule in rules]
    assert table("security-code.md") == rows
