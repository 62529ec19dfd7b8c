"""`harness run`: a thin layer over pytest."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
import pytest

from harness.cli.options import PLUGIN, Workers, harness_options, pytest_arguments
from harness.model.side import NAMES as SIDE

CASES = Path("testcases")
PASSED, FAILED, TROUBLE, INTERRUPTED = 0, 1, 2, 130


@click.command()
@click.argument("paths", nargs=-1, type=click.UNPROCESSED)
@click.option("-n", "--workers", type=Workers(), metavar="N|auto", help="run N trials at the same time")
@click.option("-k", "matching", metavar="EXPR", help="only cases whose names match, as pytest's -k")
@harness_options(
    *("inventory", "state", "cache", "results", "run", "uri", "accel", "budget", "profile", "live", "mirror"), *SIDE
)
def run(paths: tuple[str, ...], workers: str | None, matching: str | None, **given: str | None) -> int:
    """Run test cases: files, folders or pytest node ids (default: the folder testcases).

    What stands after -- goes to pytest as it is: harness run testcases/test_nbd_swap.py -k loopback -- -x

    Exit codes: 0 all as expected, 1 an expectation failed, 2 a trial ended without a verdict, or usage or
    environment, 130 interrupted.
    """
    watcher = _Watcher()
    with watcher.noting_ctrl_c():
        status = pytest.main(_arguments(paths, workers, matching, given), plugins=[watcher])
    if watcher.interrupted:
        return INTERRUPTED
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        click.echo("harness: no test case was selected; name files, folders or node ids", err=True)
    return {pytest.ExitCode.OK: PASSED, pytest.ExitCode.TESTS_FAILED: FAILED}.get(pytest.ExitCode(status), TROUBLE)


class _Watcher:
    """Sees what the exit status of pytest does not tell: whether 2 means Ctrl-C."""

    interrupted = False

    @contextmanager
    def noting_ctrl_c(self) -> Iterator[None]:
        """Note the signal itself: it may be swallowed while pytest waits for workers that got it as well."""

        def note(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.default_int_handler(number, frame)

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = excinfo.errisinstance(KeyboardInterrupt)


def _arguments(
    paths: tuple[str, ...], workers: str | None, matching: str | None, given: dict[str, str | None]
) -> list[str]:
    chosen = list(paths)
    if not any(_is_path(path) for path in paths) and CASES.is_dir():
        chosen.insert(0, str(CASES))
    parallel = [] if workers is None else ["-n", workers]
    selected = [] if matching is None else ["-k", matching]
    return [*PLUGIN, *parallel, *selected, *pytest_arguments(given), *chosen]


def _is_path(argument: str) -> bool:
    return Path(argument.partition("::")[0]).exists()
