"""Hosts that are up with storage between them, for sandboxes and single commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import HarnessError
from harness.model.observe import Steps
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.providers import provider_of
from harness.site.provider import Listener, Prepared
from harness.site.target import Site
from harness.storage.base import Storage

# Shorter than in a trial: the guests are ended anyway, so storage that a hang keeps busy need not be waited for.
TEAR_DOWN_S = 30.0

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """A request for a sandbox: the hosts of `topology`, their prepared files, and `storage` between them."""

    topology: Topology
    prepared: Prepared
    settings: Settings
    storage: Storage | None = None

    @property
    def hosts(self) -> str:
        """The names of the hosts, for a message."""
        return ", ".join(host.name for host in self.topology.hosts)


@contextmanager
def guests(
    request: SandboxRequest, *, listener: Listener, console_path: Callable[[str], Path], note: Note
) -> Iterator[Site]:
    """Keep the guests up for the body, with their storage set up and measured once; `note` gets a line for each step.

    Waits for its turn as a trial does. Raises BootError, InfraError or UsageError if they do not come up, and then
    leaves nothing behind.
    """
    topology = request.topology
    with ExitStack() as stack:

        def begin() -> None:
            stack.callback(note, f"ended {request.hosts}")
            note(f"booting {request.hosts}")

        provided = provider_of(request.settings, topology).provide(
            topology,
            request.prepared,
            purpose=f"harness up {topology.name}",
            listener=listener,
            console_path=console_path,
            notes=Steps(note),
            on_wait=note,
            on_begin=begin,
        )
        site = stack.enter_context(provided)
        if request.storage is not None:
            note(f"setting up: {request.storage.describe()}")
            stack.callback(_take_down, request.storage, site, note)
            request.storage.set_up(site)
            pages = request.storage.baseline(site)  # for storage used as swap, this also makes the guest swap
            note(f"storage is up, {pages:.0f} pages of 4 KiB a second")
        yield site


def _take_down(storage: Storage, site: Site, note: Note) -> None:
    """Take the storage down within a deadline of its own: the drivers' deadlines are those of a slow host."""
    problems: list[str] = []

    def body() -> None:
        try:
            storage.tear_down(site)
        except HarnessError as error:
            problems.append(str(error))

    thread = threading.Thread(target=body, name="tear-down", daemon=True)
    thread.start()
    thread.join(TEAR_DOWN_S)
    if thread.is_alive():
        problems.append(f"it does not answer within {TEAR_DOWN_S:.0f} s")
    note(f"storage was not taken down: {problems[0]}" if problems else "storage taken down")
