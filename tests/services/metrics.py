"""An exposition, parsed by prometheus_client's own parser."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Metrics:
    """The samples of one scrape. Raises ValueError for text that is no exposition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples = [sample for family in self.families.values() for sample in family.samples]

    def __contains__(self, name: str) -> bool:
        return bool(self.samples(name))

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """Samples called `name` that carry at least these labels."""
        return [s for s in self._samples if s.name == name and labels.items() <= s.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample that fits; LookupError where there is none, or more than one."""
        found = self.samples(name, **labels)
        if len(found) != 1:
            there = [sample.labels for sample in self.samples(name)]
            raise LookupError(f"{len(found)} samples are {name}{labels}; of that name there are {there}")
        return float(found[0].value)


def value_in(text: str, name: str, **labels: str) -> float:
    """`Metrics(text).value(name, **labels)`, of which no other family is parsed: for who looks again and again."""
    own = [line for line in text.split("\n") if line.startswith((f"{name}{{", f"{name} "))]
    # Without a type each line would be a family of its own to the parser.
    return Metrics("\n".join([f"# TYPE {name} untyped", *own, ""])).value(name, **labels)
