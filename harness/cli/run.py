"""`harness run`: a thin layer over pytest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.find import find_run
from harness.cli.options import harness_options, workers_option
from harness.model.errors import UsageError
from harness.model.options import Origin
from harness.model.overrides import NAMES as SIDE
from harness.plugin.invoke import PLUGIN, pytest_arguments, run_pytest
from harness.plugin.resume import Begun, begun, check, go_on

CASES = Path("testcases")


@click.command(epilog="In the environment or an ini file: docs/options.md")
@click.argument("paths", nargs=-1, type=click.UNPROCESSED)
@workers_option()
@click.option("-k", "matching", metavar="EXPR", help="only cases whose names match, as pytest's -k")
@click.option("--resume", metavar="RUN", help="go on with RUN as it was begun")
@harness_options(
    *(
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
        "profile",
        "live",
        "mirror",
    ),
    *SIDE,
)
def run(
    paths: tuple[str, ...], workers: str | None, matching: str | None, resume: str | None, **given: str | None
) -> int:
    """Run test cases: files, folders or pytest node ids (default: testcases).

    Arguments after -- go to pytest: harness run testcases -k loopback -- -x

    --resume RUN alone goes on with a run and runs nothing twice.

    Exit code: 0 as expected, 1 not, 2 usage or no verdict, 130 interrupted.
    """
    if resume is not None:
        return _resume(resume, paths, workers, matching, given)
    return run_pytest([*PLUGIN, *_parallel(workers), *_arguments(paths, matching, given)])


def _resume(
    name: str, paths: tuple[str, ...], workers: str | None, matching: str | None, given: dict[str, str | None]
) -> int:
    """Go on with the run of that name; `-n` and `--live` may differ from before."""
    folder = find_run(name, given["results"]).path
    old = begun(folder)
    if "repeat" in old.options:
        raise UsageError(f"{folder}: not begun by `harness run`; resume it with the command that began it")
    shown = {"live": given.pop("live")}
    if (paths or matching is not None) and not _is_same(_arguments(paths, matching, given), old):
        raise UsageError("--resume: the run was begun with other cases; it knows them, leave them out")
    given.pop("results")
    check(
        {
            name: (text, Origin(name=f"--{name.replace('_', '-')}", base=Path.cwd()))
            for name, text in given.items()
            if text
        },
        old.options,
        "--",
    )
    return go_on(folder, extra=[*_parallel(workers), *pytest_arguments(shown)])


def _is_same(arguments: list[str], old: Begun) -> bool:
    """Whether the run was begun in this folder with arguments that end with `arguments`, ignoring `--live`."""
    before = [argument for argument in old.arguments if not argument.startswith("--harness-live=")]
    return before[-len(arguments) :] == arguments and Path.cwd() == old.folder


def _parallel(workers: str | None) -> Sequence[str]:
    return () if workers is None else ("-n", workers)


def _arguments(paths: tuple[str, ...], matching: str | None, given: dict[str, str | None]) -> list[str]:
    chosen = list(paths)
    if not any(_is_path(path) for path in paths) and CASES.is_dir():
        chosen.insert(0, str(CASES))
    selected = [] if matching is None else ["-k", matching]
    return [*selected, *pytest_arguments(given), *chosen]


def _is_path(argument: str) -> bool:
    return Path(argument.partition("::")[0]).exists()
