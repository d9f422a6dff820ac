"""The commands `up` and `break`, and the one line that each of them ends with when it cannot go on."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from demo.breaks import Break, breaks_of
from demo.interrupts import interrupt_once
from demo.layout import AGENTS, FIRST_PORT, DemoError, Layout, running
from demo.playing import play, table
from demo.scene import Scene
from demo.stack import Stack
from demo.timeline import Timeline
from exporter.locks import Busy, FileLock

_DIRECTORY = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/demo"),
    show_default=True,
    help="Everything that the demo keeps.",
)


@click.group()
def commands() -> None:
    """A small world to break, and to see mended."""


@commands.command()
@_DIRECTORY
@click.option("--first-port", type=click.IntRange(1024, 65500), default=FIRST_PORT, show_default=True)
@click.option("--docker/--no-docker", default=True, help="Whether agents may be containers.")
def up(directory: Path, first_port: int, docker: bool) -> None:
    """Start everything, tell what happens, and end it all with Ctrl-C."""
    interrupt_once()
    layout = Layout(directory.resolve(), first_port)
    try:
        with Stack(layout, click.echo, docker=docker) as stack:
            _welcome(layout, stack.agents.docker_url)
            _tell(stack)
    except KeyboardInterrupt:
        click.echo(f"Nothing of it runs any more. Its files are still in {directory}: rm -r {directory}")


def _tell(stack: Stack) -> None:
    timeline = Timeline(stack.exporter, click.echo)
    while True:
        stack.check()
        timeline.look()
        time.sleep(1)


def _welcome(layout: Layout, docker_url: str) -> None:
    click.echo(f"\nstatus page   http://{layout.exporter}/\nPrometheus    http://{layout.prometheus}/alerts")
    click.echo(f"Alertmanager  http://{layout.alertmanager}\nfiles         {layout.directory}\n")
    kind = f"containers of the engine at {docker_url}" if docker_url else "processes"
    click.echo(f"The agents {', '.join(AGENTS)} are {kind}.")
    click.echo("Remediation is on auto, and the alerts of what is broken wait seconds where they say minutes.")
    if not docker_url:
        click.echo("Without Docker an agent that is down is told of and cannot be restarted: nobody but Docker could.")
    click.echo("In another terminal: make demo-break. Here: what happens, until Ctrl-C ends it all.\n")


@commands.command("break")
@_DIRECTORY
@click.argument("names", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="Say what can be broken, and break nothing.")
def break_(directory: Path, names: tuple[str, ...], only_list: bool) -> None:
    """Break things one by one (all, or those of these NAMES), and watch them being mended."""
    interrupt_once()
    found = running(directory.resolve())
    if found is None:
        raise DemoError(f"{directory}: no demo is running here; start one in another terminal: make demo")
    scene = Scene(found, click.echo)
    wanted = _chosen(breaks_of(scene), names)
    if only_list:
        for one in wanted:
            click.echo(f"{one.name:20} {one.does}")
        return
    try:
        lock = FileLock(scene.layout.directory / "break.lock", "a break")
    except Busy:
        raise DemoError(f"{directory}: is being broken already; wait for the other make demo-break") from None
    except OSError as error:
        raise DemoError(f"{directory}: {error.strerror}; mend that, and try again") from None
    try:
        _play(wanted, scene)
    finally:
        lock.release()


def _play(wanted: list[Break], scene: Scene) -> None:
    courses = [play(one, scene) for one in wanted]
    click.echo("\n" + "\n".join(table(courses)))
    failed = [course.name for course in courses if course.failed]
    others = f"; not: {', '.join(failed)}" if failed else "."
    left_out = sum(course.left_out for course in courses)
    went = len(courses) - len(failed) - left_out
    click.echo(f"\n{went} of {len(courses) - left_out} went as expected{others}")
    if failed:
        sys.exit(1)


def _chosen(known: tuple[Break, ...], names: tuple[str, ...]) -> list[Break]:
    every = [one.name for one in known]
    if unknown := sorted(set(names) - set(every)):
        raise DemoError(f"nothing that can be broken here is called {', '.join(unknown)}: {', '.join(every)}", 64)
    return [one for one in known if not names or one.name in names]


def main() -> NoReturn:
    """One line for whatever stands in the way."""
    try:
        commands.main(prog_name="demo", standalone_mode=False)
        sys.exit(0)
    except DemoError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(error.code)
    except click.ClickException as error:
        click.echo(f"demo: {error.format_message()}", err=True)
        sys.exit(64)
    except OSError as error:  # a disk that is full, a file that is gone
        click.echo(
            f"demo: {error.filename or 'the demo'}: {error.strerror or error}; mend that, and start again", err=True
        )
        sys.exit(74)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("demo: interrupted", err=True)
        sys.exit(130)
