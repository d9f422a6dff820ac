"""`python -m demo up` and `python -m demo break`: what `make demo` and `make demo-break` call."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from demo.breaks import Break, breaks_of
from demo.layout import AGENTS, FIRST_PORT, DemoError, Layout, running
from demo.playing import play
from demo.scene import Scene
from demo.stack import Stack
from demo.timeline import Timeline

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
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    layout = Layout(directory.resolve(), first_port)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with Stack(layout, click.echo, docker=docker) as stack:
        _welcome(layout, stack.agents.docker_url)
        timeline = Timeline(stack.exporter, click.echo)
        while not stopped.wait(1):
            stack.check()
            timeline.look()
        click.echo("\nending everything …")
    click.echo(f"Nothing of it runs any more. Its files are still in {directory}: rm -r {directory}")


def _welcome(layout: Layout, docker_url: str) -> None:
    click.echo(f"\nstatus page   http://{layout.exporter}/\nPrometheus    http://{layout.prometheus}/alerts")
    click.echo(f"Alertmanager  http://{layout.alertmanager}\nfiles         {layout.directory}\n")
    kind = f"containers of the engine at {docker_url}" if docker_url else "processes"
    click.echo(f"The agents {', '.join(AGENTS)} are {kind}. Remediation is on auto, minutes are seconds.")
    if not docker_url:
        click.echo("Without Docker an agent that is down is told of and cannot be restarted: nobody but Docker could.")
    click.echo("In another terminal: make demo-break. Here: what happens, until Ctrl-C ends it all.\n")


@commands.command("break")
@_DIRECTORY
@click.argument("names", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="Say what can be broken, and break nothing.")
def break_(directory: Path, names: tuple[str, ...], only_list: bool) -> None:
    """Break things one by one (all, or those of these NAMES), and watch them being mended."""
    found = running(directory.resolve())
    if found is None:
        raise DemoError(f"{directory}: no demo is running here; start one in another terminal: make demo")
    scene = Scene(found, click.echo)
    wanted = _chosen(breaks_of(scene), names)
    if only_list:
        for one in wanted:
            click.echo(f"{one.name:20} {one.does}")
        return
    failed = [one.name for one in wanted if not _played(one, scene)]
    others = f"; not: {', '.join(failed)}" if failed else "."
    click.echo(f"\n{len(wanted) - len(failed)} of {len(wanted)} went as expected{others}")
    if failed:
        sys.exit(1)


def _chosen(known: tuple[Break, ...], names: tuple[str, ...]) -> list[Break]:
    unknown = set(names) - {one.name for one in known}
    if unknown:
        raise DemoError(f"nothing here is called {', '.join(sorted(unknown))}; see --list", 64)
    return [one for one in known if not names or one.name in names]


def _played(one: Break, scene: Scene) -> bool:
    if one.needs_backups and not scene.running.backups:
        reason = "there is a PostgreSQL or Redis here, of which the demo makes no backup"
        scene.say(f"\n── {one.name}\n  left out: {reason}")
        return True
    return play(one, scene)


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
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)


if __name__ == "__main__":
    main()
