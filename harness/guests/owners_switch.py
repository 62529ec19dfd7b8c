"""A VDE switch of the owner's, to which guests are connected: used by one run at a time, and its end is noticed.

The file `switches/<8 hex>.lock` in the state folder is locked while a run uses the switch: the guests of two runs would
have the same MACs there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.topology import Topology
from harness.state.locks import held
from harness.state.state import StateDir

FOLDER = "switches"
WAIT_S = 4 * 3600.0  # for another run that uses it
CONNECT_S = 5.0


class OwnersSwitch:
    """A connection to the switch in `folder`, without a port of it; raises UsageError if it does not take one."""

    def __init__(self, link: str, folder: Path) -> None:
        self._link, self.socket = link, folder
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.settimeout(CONNECT_S)
            self._connection.connect(str(folder / "ctl"))
            self._connection.setblocking(False)
        except OSError as error:
            self._connection.close()
            raise UsageError(f"link {link}: {_refusal(folder, error)}") from error

    @property
    def failure(self) -> InfraError | None:
        """What is wrong if the switch has ended, even if it was started again: its guests are cut off for good."""
        try:
            self._connection.recv(1)  # it says nothing to who asks for nothing: so this is its end
        except BlockingIOError:
            return None
        except OSError:
            pass
        return InfraError(f"the switch {self.socket} of link {self._link} ended")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _refusal(folder: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"the switch {folder} is not for this user; start it for a group of yours: "
            f"vde_switch -d -s {folder} -m 660 -g GROUP -t TAP"
        )
    return (
        f"{folder} is not the folder of a running vde_switch; start one: vde_switch -d -s {folder} -t TAP, "
        "and connect the machines of the link to it"
    )


def check_switches(topology: Topology) -> None:
    """Raise UsageError if a switch of a link does not take guests."""
    for link in topology.links:
        if link.switch:
            OwnersSwitch(link.name, Path(link.switch)).close()


@contextmanager
def switches_held(topology: Topology, state: StateDir, purpose: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the owner's switches of a topology for the body; wait for another run. Raises InfraError after 4 h."""
    deadline = Deadline.after(WAIT_S)
    folders = sorted({str(Path(link.switch).resolve()) for link in topology.links if link.switch})
    with ExitStack() as stack:
        for folder in folders:  # one order for all: no two wait crosswise
            lock = state.folder(FOLDER) / f"{sha256(folder.encode()).hexdigest()[:8]}.lock"
            stack.enter_context(held(lock, f"switch {folder}", purpose, deadline, on_wait))
        yield
