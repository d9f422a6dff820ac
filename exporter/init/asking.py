"""Questions put to a person at a terminal: asked again until the settings themselves take the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

from exporter.init.answers import Answers
from exporter.init.proposals import Proposal
from exporter.init.questions import NOTHING, QUESTIONS, BadAnswer, Question, Setting
from exporter.settings import leaf_fields

HOW = f"Enter takes what stands in brackets; {NOTHING} leaves it unset; Ctrl-C ends without writing anything."


def ask(answers: Answers, given: frozenset[str], found: Mapping[Setting, Proposal]) -> None:
    """Ask what no flag in `given` has answered, group by group; a group that does not fit together is asked anew."""
    click.echo(HOW, err=True)
    for group in QUESTIONS:
        asked = [question for question in group if question.flag not in given]
        before = answers.copy()
        _ask_group(answers, asked, found)
        while problems := answers.problems():
            click.echo("".join(f"  {problem}\n" for problem in problems), err=True, nl=False)
            answers.become(before)
            _ask_group(answers, asked, found)


def _ask_group(answers: Answers, group: Sequence[Question], found: Mapping[Setting, Proposal]) -> None:
    for question in group:
        if question.needs is None or answers.has(question.needs):
            _ask_one(answers, question, found.get(question.setting))


def _ask_one(answers: Answers, question: Question, proposal: Proposal | None) -> None:
    if proposal:
        click.echo(f"  seen: {proposal.seen}", err=True)
    usual = _default(question.setting)
    proposed = proposal.answer if proposal and proposal.answer else usual
    while True:
        answer = _prompt(question, proposed)
        if answer in ("", NOTHING) or (answer == usual and not (proposal and proposal.answer)):
            return
        before = answers.copy()
        try:
            _take(answers, question, answer)
        except BadAnswer as error:
            click.echo(f"  {error}", err=True)
            answers.become(before)
            continue
        return


def _take(answers: Answers, question: Question, answer: str) -> None:
    """Note an answer that is right in itself; raise BadAnswer."""
    if question.choices and answer not in question.choices:
        raise BadAnswer(f"{answer!r} is none of {', '.join(question.choices)}")
    answers.take(question, answer)
    own = re.compile(rf"{re.escape('.'.join(question.setting))}[:.\[]")
    if problems := [problem for problem in answers.problems() if own.match(problem)]:
        raise BadAnswer("; ".join(problems))


def _prompt(question: Question, proposed: str) -> str:
    """One answer, without blanks around it; a secret's are its own."""
    if question.secret:
        return str(click.prompt(f"{question.text} (hidden)", default="", hide_input=True, show_default=False, err=True))
    shown = bool(proposed)
    return str(click.prompt(question.text, default=proposed, show_default=shown, err=True)).strip()


def _default(setting: Setting) -> str:
    """A setting's own default as text, where it has one."""
    default = dict(leaf_fields())[setting].get_default(call_default_factory=True)
    return str(default) if isinstance(default, str) else ""
