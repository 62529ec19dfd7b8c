"""Hosts for a live test, brought up as those of trials are: the one way for all live tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.model.observe import Progress, Silent
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.providers import provider_of
from harness.site.provider import Deaf, HostNeeds, Listener
from harness.site.target import Site

SILENT, DEAF = Silent(), Deaf()


@contextmanager
def live_site(
    settings: Settings, topology: Topology, folder: Path, *, listener: Listener = DEAF, notes: Progress = SILENT
) -> Iterator[Site]:
    """The hosts of `topology`, up for the body; what each prints is in `<host>.console` in `folder`."""
    provider = provider_of(settings, topology)
    provided = provider.provide(
        topology,
        provider.prepare(topology, HostNeeds(), notes),
        purpose="a live test",
        listener=listener,
        console_path=lambda name: folder / f"{name}.console",
        notes=notes,
        on_wait=notes.step,
        on_begin=lambda: None,
    )
    with provided as site:
        yield site
