"""Calls of pytest by the `harness` command: in this process, with our plugin and our exit codes."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, TextIO, cast

import pytest

from harness.model.options import OPTIONS

PASSED, FAILED, TROUBLE, INTERRUPTED = 0, 1, 2, 130

# This process has imported parts of the harness before pytest could rewrite their assertions; they have none
# that a test would want explained.
_QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
# By its entry point, so that it is there even where autoloading of plugins is off.
PLUGIN = ("-p", "harness", *_QUIET)


def pytest_arguments(given: Mapping[str, str | None]) -> list[str]:
    """The given options, as arguments of pytest."""
    known = {option.name: option for option in OPTIONS}
    return [
        f"--harness-{known[name].word}" if known[name].flag else f"--harness-{known[name].word}={text}"
        for name, text in given.items()
        if text is not None
    ]


def run_pytest(arguments: Sequence[str], *, plugins: Sequence[object] = ()) -> int:
    """Run a session and return 0 all as expected, 1 an expectation failed, 2 trouble, or 130 interrupted.

    A user's mistake is one line on stderr, and nothing else is shown then. pytest finds some mistakes only after it
    has collected and printed a header, so its output is held back until then.
    """
    watcher, output = _Watcher(), _HeldOutput(sys.stdout)
    with watcher.noting_ctrl_c(), redirect_stdout(cast(TextIO, output)):
        status = pytest.main(list(arguments), plugins=[watcher, _Mistakes(output), *plugins])
    if status != pytest.ExitCode.USAGE_ERROR:
        output.release()
    if watcher.interrupted:
        return INTERRUPTED
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        print("harness: no test case was selected; name files, folders or node ids", file=sys.stderr)
    return {pytest.ExitCode.OK: PASSED, pytest.ExitCode.TESTS_FAILED: FAILED}.get(pytest.ExitCode(status), TROUBLE)


class _HeldOutput:
    """A stream that keeps its output until it is released."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] | None = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Keep `text`, or write it."""
        if self._held is None:
            return self._stream.write(text)
        self._held.append(text)
        return len(text)

    def release(self) -> None:
        """Write the kept output, and all later output at once."""
        held, self._held = self._held or [], None
        self._stream.write("".join(held))
        self._stream.flush()


class _Mistakes:
    """Shows a user's mistakes; pytest's output is shown once no more mistakes can be found."""

    def __init__(self, output: _HeldOutput) -> None:
        self._output = output

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self) -> Generator[None, int, int]:
        """Print each mistake on one line; pytest would add a blank line after each."""
        try:
            return (yield)
        except pytest.UsageError as error:
            for problem in error.args:
                print(f"harness: {str(problem).partition(chr(10))[0]}", file=sys.stderr)
            return pytest.ExitCode.USAGE_ERROR

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """The first test begins: everything was collected and checked."""
        self._output.release()


class _Watcher:
    """Notes Ctrl-C, which pytest's exit status 2 does not tell from other interruptions."""

    interrupted = False

    @contextmanager
    def noting_ctrl_c(self) -> Iterator[None]:
        """Note the signal itself: pytest may swallow it while it waits for workers that also got it."""

        def note(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.default_int_handler(number, frame)

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def pytest_runtest_protocol(self) -> None:
        """Stop before the next case if the exception was swallowed, as by a destructor or an extension module."""
        if self.interrupted:
            raise KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Ignore warnings of files left open by the interrupt: `filterwarnings = error` would fail the session."""
        if self.interrupted:
            for category in (pytest.PytestUnraisableExceptionWarning, pytest.PytestUnhandledThreadExceptionWarning):
                warnings.simplefilter("ignore", category)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest's own Interrupted is a session that it ends itself, as when a file cannot be imported.
        is_own = excinfo.errisinstance(pytest.Session.Interrupted)
        self.interrupted = self.interrupted or (excinfo.errisinstance(KeyboardInterrupt) and not is_own)
