"""What the rules of a packet filter amount to for what comes in: parsed from nft's JSON and iptables-save's text.

The question is what becomes of a packet that no rule speaks of. It is turned away where a chain on its way has the
policy drop, or a rule without conditions drops or rejects it. (nft(8), libnftables-json(5), iptables-extensions(8))
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_HOOKS = ("input", "prerouting", "ingress")
_MAX_DEPTH = 32
ACCEPT, DENY, RETURN, JUMP, GOTO = "accept", "deny", "return", "jump", "goto"


class Filtering(StrEnum):
    """What becomes of a packet that no rule speaks of, and whether there are rules at all."""

    DENIES = "denies by default"
    ACCEPTS = "accepts by default"
    NONE = "has no rules"


@dataclass(frozen=True)
class Rule:
    """One rule: whether it is for some packets only, and what it decides (empty: nothing)."""

    conditional: bool
    verdict: str = ""
    target: str = ""


@dataclass
class Chain:
    """Rules in their order. `policy` is what becomes of the rest, None for a chain that only others lead to."""

    policy: str | None = None
    rules: list[Rule] = field(default_factory=list)


Chains = Mapping[str, Chain]
"""The chains of one table, by name."""


def filtering(tables: list[Chains]) -> Filtering:
    """Given every table for one address family, say what becomes of what comes in."""
    bases = [(chains, chain) for chains in tables for chain in chains.values() if chain.policy is not None]
    if any((_end(chains, chain, 0) or chain.policy) == DENY for chains, chain in bases):
        return Filtering.DENIES
    return Filtering.ACCEPTS if any(chain.rules for _, chain in bases) else Filtering.NONE


def _end(chains: Chains, chain: Chain, depth: int) -> str:
    """What becomes of a packet in a chain: accept, deny, or empty where it gets to its end."""
    if depth > _MAX_DEPTH:
        return ""
    for rule in chain.rules:
        if rule.conditional:
            continue
        if rule.verdict in (ACCEPT, DENY):
            return rule.verdict
        if rule.verdict == RETURN:
            return ""
        if rule.verdict in (JUMP, GOTO):
            end = _end(chains, chains.get(rule.target, Chain()), depth + 1)
            if end or rule.verdict == GOTO:
                return end
    return ""


def nftables_tables(listing: Any, family: str) -> list[Chains]:
    """Given nft's listing, return its tables for `family` (ip or ip6); ValueError where it is not one."""
    entries = listing.get("nftables") if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        raise ValueError("nft printed no ruleset")
    tables: dict[tuple[str, str], dict[str, Chain]] = {}
    for chain in _of_kind(entries, "chain", family):
        made = Chain(_policy(chain.get("policy", "accept")) if _is_base(chain) else None)
        tables.setdefault(_table(chain), {})[str(chain.get("name"))] = made
    for rule in _of_kind(entries, "rule", family):
        parsed = _nft_rule(rule.get("expr"), family)
        if parsed:
            tables.setdefault(_table(rule), {}).setdefault(str(rule.get("chain")), Chain()).rules.append(parsed)
    return list(tables.values())


def _of_kind(entries: list[Any], kind: str, family: str) -> Iterator[dict[str, Any]]:
    for entry in entries:
        thing = entry.get(kind) if isinstance(entry, dict) else None
        if isinstance(thing, dict) and thing.get("family") in (family, "inet", "netdev"):
            yield thing


def _is_base(chain: dict[str, Any]) -> bool:
    return chain.get("type") == "filter" and chain.get("hook") in _HOOKS


def _table(thing: dict[str, Any]) -> tuple[str, str]:
    return str(thing.get("family")), str(thing.get("table"))


def _nft_rule(expressions: Any, family: str) -> Rule | None:
    """The rule, or None where it is for another address family alone."""
    conditional, verdict, target = False, "", ""
    for expression in expressions if isinstance(expressions, list) else []:
        name, content = next(iter(expression.items())) if isinstance(expression, dict) and expression else ("", None)
        of_family = _nft_family(name, content)
        if of_family and of_family != family:
            return None
        if name in ("accept", "drop", "reject", "return"):
            verdict = DENY if name in ("drop", "reject") else name
        elif name in (JUMP, GOTO) and isinstance(content, dict):
            verdict, target = name, str(content.get("target"))
        elif name == "xt":
            conditional = True  # of iptables: its own program says what it is
        elif name not in ("counter", "log", "comment") and not of_family:
            conditional = True
    return Rule(conditional, verdict, target)


def _nft_family(name: str, content: Any) -> str:
    """The address family that an expression asks for (`meta nfproto ipv6`), empty where it asks for something else."""
    if name != "match" or not isinstance(content, dict) or content.get("op") not in ("==", "in"):
        return ""
    left = content.get("left")
    if left == {"meta": {"key": "nfproto"}}:
        return {"ipv4": "ip", "ipv6": "ip6"}.get(str(content.get("right")), "")
    if left == {"meta": {"key": "protocol"}}:
        return {"ip": "ip", "ip6": "ip6"}.get(str(content.get("right")), "")
    return ""


def saved_tables(text: str) -> list[Chains]:
    """Given what iptables-save printed, return its tables; lines that are not understood are conditions."""
    tables: list[dict[str, Chain]] = []
    name = ""
    for line in text.splitlines():
        if line.startswith("*"):
            name = line[1:].strip()
            tables.append({})
        elif line.startswith(":") and tables:
            chain, policy = [*line[1:].split(), "", ""][:2]
            is_base = policy != "-" and (name, chain) in _SAVED_BASES
            tables[-1][chain] = Chain(_policy(policy) if is_base else None)
        elif line.startswith("-A ") and tables:
            chain, rule = _saved_rule(line)
            tables[-1].setdefault(chain, Chain()).rules.append(rule)
    return list(tables)


_SAVED_BASES = frozenset(
    {("filter", "INPUT"), ("mangle", "INPUT"), ("mangle", "PREROUTING"), ("raw", "PREROUTING"), ("security", "INPUT")}
)
_VERDICTS = {"ACCEPT": ACCEPT, "DROP": DENY, "REJECT": DENY, "RETURN": RETURN}
# Targets that decide nothing, so that what follows them counts.
_PASSING = ("LOG", "NFLOG", "MARK", "CONNMARK", "AUDIT", "TRACE")


def _saved_rule(line: str) -> tuple[str, Rule]:
    try:
        words = shlex.split(line)
    except ValueError:  # a comment with a lone quote
        words = line.split()
    chain, words = words[1] if len(words) > 1 else "", words[2:]
    before, after = _parted(words, ("-j", "--jump", "-g", "--goto"))
    conditional = [word for word in _without_comments(before) if word not in ("-m", "comment")] != []
    target = after[0] if after else ""
    if target in _VERDICTS:
        return chain, Rule(conditional, _VERDICTS[target])
    if not target or target in _PASSING:
        return chain, Rule(conditional)
    return chain, Rule(conditional, GOTO if {"-g", "--goto"} & set(words) else JUMP, target)


def _parted(words: list[str], signs: tuple[str, ...]) -> tuple[list[str], list[str]]:
    at = next((index for index, word in enumerate(words) if word in signs), len(words))
    return words[:at], words[at + 1 :]


def _without_comments(words: list[str]) -> Iterator[str]:
    skip = False
    for word in words:
        if not skip and word != "--comment":
            yield word
        skip = word == "--comment"


def _policy(text: object) -> str:
    return DENY if str(text).lower() == "drop" else ACCEPT
