"""Where the view of a running trial goes: past pytest's capture, to the terminal that the user looks at."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from harness.plugin.live.ladder import LiveView
from harness.plugin.live.lines import LineView
from harness.plugin.trials import View


@contextlib.contextmanager
def open_view(config: pytest.Config, live: str, name: str) -> Iterator[View]:
    """The view that `live` (see `options.LIVE`) means here, for the trial called `name`."""
    with _screen(config) as screen:
        kind = _kind(config, live, screen)
        if kind == "off":
            yield _NoView()
        elif kind == "ladder":
            with _ladder(screen, name) as view:
                yield view
        else:
            yield _lines(config, screen, name)


class _NoView:
    def on_event(self, event: object) -> None:
        """See `Observer.on_event`."""

    def write(self, line: str) -> None:
        """See `View.write`."""


def _kind(config: pytest.Config, live: str, screen: TextIO) -> str:
    if live == "off" or (live == "auto" and config.get_verbosity() < 0):
        return "off"
    if _is_worker(config):
        return "lines"  # several ladders cannot share a terminal
    return "ladder" if live == "ladder" or (live == "auto" and screen.isatty()) else "lines"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _ladder(screen: TextIO, name: str) -> LiveView:
    from rich.console import Console

    return LiveView(Console(file=screen), name=name)


def _lines(config: pytest.Config, screen: TextIO, name: str) -> LineView:
    if _is_worker(config):
        return LineView(screen, prefix=name)
    view = LineView(screen)
    view.write(f"trial {name}")
    return view


@contextlib.contextmanager
def _screen(config: pytest.Config) -> Iterator[TextIO]:
    """The stream that pytest itself writes to, kept open beside the capture.

    Capture is only suspended to take a second handle on it. It then goes on capturing what libraries and child
    processes print, which would tear the ladder apart.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
        # The standard output of an xdist worker carries its protocol.
        stream = sys.stderr if _is_worker(config) else sys.stdout
        stream.flush()
        handle = _second_handle(stream)
    if handle is None:
        yield stream
        return
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as screen:
        yield screen


def _second_handle(stream: TextIO) -> int | None:
    try:
        return os.dup(stream.fileno())
    except (OSError, ValueError):
        return None  # not a file: what captures at the level of sys.stdout leaves `stream` itself in place
