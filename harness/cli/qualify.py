"""`harness qualify`: from hosts in a rack to a decision about each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from harness.cli.fabric import read_golden
from harness.cli.find import find_run
from harness.cli.options import harness_options, resolve_options
from harness.cli.terminal import wide
from harness.model.errors import UsageError
from harness.results.origin import origin
from harness.results.text import plain_line

if TYPE_CHECKING:
    from harness.model.settings import Settings
    from harness.qualify.checks import StageName
    from harness.qualify.outcome import Decision
    from harness.results.store import RunStore

PASSED, NOT_PASSED = 0, 1
COLOURS = {"PASS": "green", "FAIL": "bold red", "NOT SHOWN": "yellow"}


@click.command()
@click.argument("inventory", required=False, type=click.Path(path_type=Path))
@click.option("--hosts", metavar="A,B,…", help="only these hosts of the inventory (default: all)")
@click.option("--hours", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="length of the soak")
@click.option("--stages", metavar="A,B,…", help="only these of: inspect, fabric, links, pressure, soak")
@click.option("--golden", type=click.Path(path_type=Path), help="fabric as it should be, of `harness fabric --record`")
@click.option("--resume", metavar="RUN", help="go on with a qualification that was cut off")
@click.option("--compare", nargs=2, metavar="RUN RUN", help="run nothing; show what changed between two")
@click.option("--json", "as_json", is_flag=True, help="print the decision, or what changed, as JSON")
@harness_options("state", "cache", "results", "uri", "accel", "mirror", "though_in_use", "steal")
def qualify(
    inventory: Path | None,
    hosts: str | None,
    hours: float,
    stages: str | None,
    golden: Path | None,
    resume: str | None,
    compare: tuple[str, str] | None,
    as_json: bool,
    **given: str | None,
) -> int:
    """Qualify the hosts of INVENTORY: inspect, measure links, press memory, soak, and decide.

    Each host and each direction of each link is PASS, FAIL or NOT SHOWN, in a page, in JSON and in JUnit in the run's
    folder.

    Exit codes: 0 all pass, 1 something does not, 2 usage or environment, 130 interrupted.
    """
    from harness.providers import read_inventory
    from harness.qualify.qualification import Asked, begin, run

    if compare:
        return _compare(find_run(compare[0], given["results"]), find_run(compare[1], given["results"]), as_json)
    settings = resolve_options(given).settings
    if resume is not None:
        if inventory is not None or hosts or stages:
            raise UsageError("--resume goes on as its run began; leave out the inventory, --hosts and --stages")
        store = find_run(resume, given["results"])
        found = read_inventory(Path(Asked.of(store).path))
    elif inventory is None:
        raise UsageError("name an inventory: harness qualify rack.toml")
    else:
        found = read_inventory(inventory)
        text = read_golden(golden).to_json() if golden is not None else ""
        store = begin(settings.results, found, _names(hosts), hours, _facts(settings), _stages(stages), text)

    def say(line: str) -> None:
        click.echo(plain_line(line, limit=500), err=as_json)

    say(f"qualification in {store.path}")
    try:
        run(store, settings, found, say)
    except KeyboardInterrupt:
        say(f"interrupted; go on with: harness qualify --resume {store.path}")
        raise
    finally:
        decision = _write(store)
    if as_json:
        click.echo(json.dumps(decision.to_dict()))
    else:
        _show(store, decision)
    return PASSED if decision.grade == "PASS" else NOT_PASSED


def _names(hosts: str | None) -> list[str]:
    return [name.strip() for name in (hosts or "").split(",") if name.strip()]


def _stages(given: str | None) -> list[StageName]:
    from harness.qualify.qualification import STAGES

    known = {name.value: name for name in STAGES}
    names = _names(given) or list(known)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--stages: no stage {', '.join(unknown)}; there are: {', '.join(known)}")
    return [stage for name, stage in known.items() if name in names]


def _facts(settings: Settings) -> dict[str, object]:
    return {**origin(), "settings": {"state": str(settings.state), "results": str(settings.results)}}


def _write(store: RunStore) -> Decision:
    from harness.qualify.pages import write

    return write(store)


def _show(store: RunStore, decision: Decision) -> None:
    from harness.qualify.pages import NAMES

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("host or link", "grade", "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "grade")
    for subject in decision.subjects:
        against = [check for check in subject.checks if check.grade != "PASS"]
        why = "; ".join(f"{check.what}: {check.reason or check.measured}" for check in against[:2])
        cells = [Text(plain_line(text)) for text in (subject.name, subject.grade.value, why)]
        cells[1].stylize(COLOURS[subject.grade.value])
        table.add_row(*cells)
    console = wide()
    console.print(table)
    console.print(Text(f"{decision.grade}: {store.path / NAMES[0]}"), soft_wrap=True)


def _compare(before: RunStore, after: RunStore, as_json: bool) -> int:
    """Show what changed; exit code 1 if something fails now that did not before."""
    from harness.qualify.outcome import changes
    from harness.qualify.qualification import Asked, checks_of

    for store in (before, after):
        Asked.of(store)
    found = changes(checks_of(before), checks_of(after))
    if as_json:
        click.echo(json.dumps([change.to_dict() for change in found]))
    elif found:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("host or link", "check", before.name, after.name):
            table.add_column(heading, overflow="fold")
        for change in found:
            table.add_row(*(Text(plain_line(cell)) for cell in (*change.name, *change.sides)))
        wide().print(table)
    else:
        click.echo("nothing changed")
    return NOT_PASSED if any(change.is_worse for change in found) else PASSED
