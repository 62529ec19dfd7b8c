"""`harness selftest`: injects faults with a known right verdict, and scores the verdicts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.find import find_run
from harness.cli.options import harness_options, resolve_options, workers_option
from harness.cli.terminal import wide
from harness.model.errors import UsageError
from harness.results.origin import origin

if TYPE_CHECKING:
    from harness.model.options import Options
    from harness.model.settings import Settings
    from harness.results.store import RunStore
    from harness.selftest.rack import Rack
    from harness.selftest.truth import Truth

REACHED, MISSED = 0, 1
REPEATS, LIVE = 5, 20


@click.command()
@click.option(
    "--kinds", multiple=True, metavar="GLOB", help="only kinds whose names match, such as 'stall.*'; may repeat"
)
@click.option("--repeats", type=click.IntRange(min=1), default=REPEATS, show_default=True, help="trials of each kind")
@click.option(
    "--live",
    type=click.IntRange(min=1),
    help=f"trials of the live kinds together (default: {LIVE}; with --kinds, as many of each as --repeats says)",
)
@workers_option(default="2")
@click.option("--seed", type=int, help="seed of the order and the injection times (default: a new one, printed)")
@click.option("--resume", metavar="RUN", help="run the trials missing in RUN")
@click.option("--score", multiple=True, metavar="RUN", help="run nothing, score RUN with today's rules; may repeat")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="write the tables to a Markdown file")
@click.option("--list", "listing", is_flag=True, help="show the kinds and their right verdicts")
@harness_options("inventory", "state", "cache", "results", "uri", "accel", "mirror", "though_in_use", "steal")
def selftest(
    kinds: tuple[str, ...],
    repeats: int,
    live: int | None,
    workers: str,
    seed: int | None,
    resume: str | None,
    score: tuple[str, ...],
    page: Path | None,
    listing: bool,
    **given: str | None,
) -> int:
    """Inject faults with a known right verdict into real guests, and compare the verdicts with it.

    Runs guests for hours, unless --list or --score is given. RUN is a run's folder, or its name in the results folder.

    With --inventory, the topologies `single` and `pair` of that file are used in place of guests made for it; kinds
    that their hosts cannot run are left out, with the reason.

    Exit codes: 0 every aim is reached, 1 one is not, 2 usage or environment, 130 interrupted.
    """
    from harness.selftest.campaign import choose, missing

    _check(kinds, live, seed, resume, score, page, listing, given["inventory"])
    truths = choose(kinds)
    if listing:
        _list(truths)
        return REACHED
    stores = [find_run(run, given["results"]) for run in score]
    if not stores:
        options = resolve_options(given)
        settings, lanes = options.settings, _lanes(workers, options)
        if resume is not None:
            stores = [find_run(resume, given["results"])]
        else:
            count = live or (repeats * sum(truth.group == "live" for truth in truths) if kinds else LIVE)
            rack, able = _rack(options, truths) if given["inventory"] else (None, truths)
            stores = [_begin(settings, able, repeats, count, lanes, seed, rack)]
        _run(stores[0], settings, lanes)
    return _show(stores, truths, page, unfinished=[trial for store in stores for trial in missing(store)])


def _lanes(workers: str, options: Options) -> int:
    """How many trials run at the same time."""
    from harness.plugin.workers import auto_workers

    return auto_workers(options) if workers == "auto" else max(1, int(workers))


def _check(
    kinds: tuple[str, ...],
    live: int | None,
    seed: int | None,
    resume: str | None,
    score: tuple[str, ...],
    page: Path | None,
    listing: bool,
    inventory: str | None,
) -> None:
    """Raise UsageError for options that contradict each other, before anything is booted."""
    wrong = {
        "--list only shows the kinds; leave out --score, --resume and --page": listing and (score or resume or page),
        "--score runs nothing, so there is nothing to --resume; name the run with one of them": score and resume,
        "--score runs nothing; leave out --seed and --live": score and (live or seed is not None),
        "--resume runs what the run lacks; leave out --kinds, --live and --seed": (
            resume and (kinds or live or seed is not None)
        ),
        "the hosts of a run are those that it began with; leave out --inventory": inventory and (resume or score),
        "--page is written from runs; name one with --score or --resume": page and not (score or resume),
    }
    for message, applies in wrong.items():
        if applies:
            raise UsageError(message)


def _list(truths: Sequence[Truth]) -> None:
    from harness.selftest.page import kinds_table
    from harness.selftest.screen import show

    show(wide(), kinds_table(truths))


def _rack(options: Options, truths: Sequence[Truth]) -> tuple[Rack, Sequence[Truth]]:
    """The hosts of the inventory, and the kinds that they can run; says why they cannot run the others."""
    from harness.cli.progress import Bars
    from harness.selftest.rack import Rack

    assert options.inventory is not None, "given"
    rack, console = Rack.read(options.inventory), wide()
    with Bars(console) as progress:
        against = rack.left_out(truths, options.settings, progress)
    for name, reason in against.items():
        console.print(f"left out: {name}: {reason}", highlight=False, soft_wrap=True, markup=False)
    able = [truth for truth in truths if truth.name not in against]
    if not able:
        raise UsageError(f"{rack.path}: its hosts can run none of these kinds")
    return rack, able


def _begin(
    settings: Settings,
    truths: Sequence[Truth],
    repeats: int,
    live: int,
    lanes: int,
    seed: int | None,
    rack: Rack | None,
) -> RunStore:
    from harness.selftest.campaign import begin, schedule

    seed = secrets.randbelow(10**6) if seed is None else seed
    trials = schedule(truths, repeats=repeats, live=live, seed=seed)
    return begin(settings.results, trials, seed, _facts(settings, lanes), rack=rack)


def _facts(settings: Settings, lanes: int) -> dict[str, Any]:
    found = origin()
    return {
        **found,
        "settings": {
            name: str(getattr(settings, name)) for name in ("state", "cache", "results", "uri", "accelerator")
        },
        "host": {**found["host"], "processors": os.cpu_count()},
        "lanes": lanes,
    }


def _run(store: RunStore, settings: Settings, lanes: int) -> None:
    from harness.selftest.campaign import Campaign, missing, seed_of
    from harness.selftest.lanes import Lane
    from harness.selftest.screen import Screen

    console, left = wide(), missing(store)
    console.print(f"{len(left)} trials in {store.path}, seed {seed_of(store)}", highlight=False, soft_wrap=True)
    with Screen(console, total=len(left)) as screen:
        try:
            Campaign(store, settings, [Lane() for _ in range(lanes)], screen).run()
        except KeyboardInterrupt:
            screen.write(f"interrupted; go on with: harness selftest --resume {store.path}")
            raise


def _show(stores: Sequence[RunStore], truths: Sequence[Truth], page: Path | None, unfinished: Sequence[str]) -> int:
    from harness.selftest.campaign import errors_of, finished
    from harness.selftest.kinds import KINDS
    from harness.selftest.page import write_page
    from harness.selftest.score import score
    from harness.selftest.screen import show
    from harness.selftest.tables import aims, aims_table, by_kind, confusion, misses

    every = (row for store in stores for row in score(finished(store), errors_of(store), KINDS))
    rows = [row for row in every if row.truth in truths]
    if not rows:
        raise UsageError(f"{', '.join(store.name for store in stores)}: no trial of these kinds is finished there")
    found, console = aims(rows), wide()
    for table in (confusion(rows), by_kind(rows), misses(rows), aims_table(found)):
        show(console, table)
    if unfinished:
        console.print(f"{len(unfinished)} trials are still missing; go on with --resume", highlight=False)
    if page is not None:
        write_page(page, rows, found, truths, {store.name: store.read_manifest() for store in stores})
    return REACHED if all(aim.met for aim in found) and not unfinished else MISSED
