"""`harness compare`: how often and how soon one case hangs on each of two sides, and whether that differs."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.find import find_run
from harness.cli.options import harness_options, resolve_options, workers_option
from harness.cli.terminal import wide
from harness.compare.question import HANG, SIDES, Question, parse_counts
from harness.model.errors import UsageError
from harness.model.overrides import NAMES as SIDE
from harness.model.overrides import parse_overrides
from harness.model.verdict import REPRODUCIBLE
from harness.results.text import plain_line
from harness.statistics.claims import ALPHA, BETA, GAP, MOST, Decision

if TYPE_CHECKING:
    from harness.compare.result import Comparison
    from harness.compare.result import Side as SideResult
    from harness.results.store import RunStore

SHOWN, NOT_SHOWN, TROUBLE, INTERRUPTED = 0, 1, 2, 130
RUNS = 10
GIVEN = (
    "inventory",
    "state",
    "cache",
    "results",
    "run",
    "uri",
    "accel",
    "cold",
    "steal",
    "though_in_use",
    "budget",
    "live",
    "mirror",
    *SIDE,
)
WORDS = ", ".join([HANG, *REPRODUCIBLE])


@click.command(
    epilog=f"With --until-sure: of comparisons of equal sides, at most {ALPHA:.0%} report a difference; of comparisons "
    f"with a difference worth knowing, at most {BETA:.0%} report none."
)
@click.argument("case", required=False)
@click.option("--a", metavar="SIDE", help="one side: stock, or changes such as 'kernel=./linux cmdline=quiet'")
@click.option("--b", metavar="SIDE", help=f"the other side; changes are {', '.join(SIDE)}")
@click.option("--runs", type=click.IntRange(min=1), metavar="N", help=f"runs of each side (default: {RUNS})")
@click.option("--until-sure", is_flag=True, help="run until it is decided whether the rates differ")
@click.option(
    "--difference",
    type=click.IntRange(min=5, max=95),
    metavar="POINTS",
    help=f"least difference of rates worth knowing, in percentage points, with --until-sure (default: {100 * GAP:.0f})",
)
@click.option("--most", type=click.IntRange(min=1), help=f"most runs of each side, with --until-sure (default: {MOST})")
@click.option("--counts", metavar="WORDS", help=f"outcomes to count, separated by commas: {WORDS} (default: {HANG})")
@click.option("--seed", type=int, help="seed of the order in which the sides take turns (default: a new one)")
@workers_option()
@click.option("--resume", metavar="RUN", help="go on with a comparison that was interrupted")
@harness_options(*GIVEN)
def compare(case: str | None, resume: str | None, workers: str | None, **options: Any) -> int:
    """Run CASE on two sides in turn: how often and how soon does it hang on each, and does that differ?

    CASE is one test: harness compare --a stock --b patch=fix.patch testcases/test_nbd_swap.py::test_patch_undone

    Exit codes: 0 a difference was shown, or with --runs every trial had a verdict; 1 --until-sure ended without one;
    2 trials had no verdict, or usage or environment; 130 interrupted.
    """
    from harness.compare.run import begin
    from harness.compare.run import resume as go_on
    from harness.results.store import RunStore

    console = wide()

    def tell(line: str) -> None:
        console.print(Text(plain_line(line)), soft_wrap=True)

    if resume is not None:
        _only_resume()
        store = RunStore(find_run(resume, options["results"]).path.resolve())  # resuming changes the working directory
        return _end(store, go_on(store, {"live": options["live"]}, workers, tell), console)
    given = {name: options.pop(name) for name in GIVEN}
    question = _question(case, given, options)
    store = _folder(given)
    return _end(store, begin(store, question, given, workers, tell), console)


def _only_resume() -> None:
    context = click.get_current_context()
    for name in context.params:
        if name in ("resume", "results", "workers", "live"):
            continue
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise UsageError("--resume goes on as it was begun; leave out all but --results, --workers and --live")


def _question(case: str | None, given: Mapping[str, str | None], asked: Mapping[str, Any]) -> Question:
    """Check the arguments before anything is made; raises UsageError."""
    from harness.compare.run import one_case

    if case is None or asked["a"] is None or asked["b"] is None:
        raise UsageError("name both sides and the case: harness compare --a stock --b patch=fix.patch CASE")
    until_sure = asked["until_sure"]
    wrong = {"--runs": until_sure and asked["runs"], "--difference": not until_sure and asked["difference"]}
    wrong["--most"] = not until_sure and asked["most"]
    for name, applies in wrong.items():
        if applies:
            raise UsageError(f"{name}: {'not with' if until_sure else 'only with'} --until-sure")
    names = {side: asked[side] for side in SIDES}
    sides = {side: str(parse_overrides(text, base=Path.cwd(), place=f"--{side}")) for side, text in names.items()}
    return Question(
        names={side: text.strip() for side, text in names.items()},
        sides=sides,
        counts=parse_counts(asked["counts"] or HANG, "--counts"),
        runs=(asked["most"] or MOST) if until_sure else (asked["runs"] or RUNS),
        until_sure=until_sure,
        gap=GAP if asked["difference"] is None else asked["difference"] / 100,
        seed=secrets.randbelow(10**6) if asked["seed"] is None else asked["seed"],
        case=one_case(case, given),
    )


def _folder(given: Mapping[str, str | None]) -> RunStore:
    """An empty folder for a new run."""
    from harness.results.files import disk_errors
    from harness.results.store import MANIFEST, RunStore, new_run_folder

    options = resolve_options(given)
    if options.run is None:
        return RunStore(new_run_folder(options.settings.results.absolute()))
    folder = options.run.absolute()
    if (folder / MANIFEST).exists():
        raise UsageError(f"--run: {folder} is a run already; go on with it by --resume, or name another folder")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return RunStore(folder)


def _end(store: RunStore, status: int, console: Console) -> int:
    """Show the result and return the exit code for it."""
    from harness.compare.run import result

    found = result(store)
    if not any(side.runs or side.vain for side in found.sides):
        return status or TROUBLE
    _show(found, console)
    console.print(Text(f"report: {store.path / 'report.html'}"), soft_wrap=True)
    if status == INTERRUPTED:
        console.print(Text(f"to go on: harness compare --resume {shlex.quote(str(store.path))}"), soft_wrap=True)
        return INTERRUPTED
    return _worth(found)


def _worth(found: Comparison) -> int:
    if found.look is None:
        return SHOWN if sum(side.runs for side in found.sides) == len(SIDES) * found.question.runs else TROUBLE
    if found.decision is Decision.OPEN and found.look.pairs < found.question.runs:
        return TROUBLE
    return SHOWN if found.decision is Decision.DIFFERENT else NOT_SHOWN


def _show(found: Comparison, console: Console) -> None:
    from harness.compare.words import notes, sentence

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("side", "", "happened in", "rate", "95 % interval", "median", "longest", "verdicts"):
        table.add_column(heading, overflow="fold")
    for side in found.sides:
        table.add_row(*(Text(plain_line(cell)) for cell in _cells(side)))
    console.print()
    console.print(table)
    console.print()
    for note in notes(found):
        console.print(Text(plain_line(note)))
    console.print(Text(f"\n{plain_line(sentence(found))}\n", style="bold"))


def _cells(side: SideResult) -> tuple[str, ...]:
    from harness.compare.words import percent, spelled_s

    times = side.times
    return (
        side.key,
        side.name,
        f"{side.hits} of {side.runs}",
        percent(side.rate) if side.runs else "-",
        f"{percent(side.low)} to {percent(side.high)}",
        "-" if times.median is None else spelled_s(times.median),
        "-" if times.longest is None else spelled_s(times.longest),
        ", ".join(f"{count} {kind}" for kind, count in side.verdicts.items()) or "none",
    )
