"""Where a server keeps what it gives away: memory, scratch disk or root disk, by what the hosts have."""

from __future__ import annotations

import pytest
from fakes import make_site, shell_of

from harness.model.errors import HarnessError, InfraError
from harness.model.topology import GIB, MIB, Host, Link, Topology
from harness.storage.base import take_down
from harness.storage.folder import Folder

MEMORY, SCRATCH, ROOT = "tmpfs", "mkfs.ext4", ""


def command(*, alone: bool, scratch_disk: bool, scratch: bool | None, size: int = MIB) -> str:
    """What makes the folder on a server of 2 GiB."""
    server = Host(name="s", memory=2 * GIB, scratch=GIB if scratch_disk else 0)
    hosts = (server,) if alone else (Host(name="c", memory=GIB), server)
    roles = {"client": hosts[0].name, "server": "s"}
    links = () if alone else (Link(name="cluster", hosts=("c", "s"), subnet="10.77.0.0/24"),)
    site = make_site(Topology(name="these", hosts=hosts, roles=roles, links=links))
    Folder(path="/srv/x", server="server", scratch=scratch).make(site, "client", size)
    return shell_of(site.role("server")).commands[0]


@pytest.mark.parametrize(
    ("alone", "scratch_disk", "scratch", "place"),
    [
        (False, True, None, MEMORY),
        (False, True, False, MEMORY),
        (False, True, True, SCRATCH),
        (True, True, None, SCRATCH),
        (True, True, False, ROOT),
        (True, True, True, SCRATCH),
        (True, False, None, ROOT),
    ],
)
def test_where_it_lies(alone: bool, scratch_disk: bool, scratch: bool | None, place: str) -> None:
    reported = command(alone=alone, scratch_disk=scratch_disk, scratch=scratch)
    assert [word for word in (MEMORY, SCRATCH) if word in reported] == [place] * bool(place)


def test_it_is_not_in_memory_where_the_server_would_have_none_left() -> None:
    assert MEMORY not in command(alone=False, scratch_disk=False, scratch=None, size=2 * GIB - 64 * MIB)


def test_every_step_of_a_tear_down_is_taken_and_all_that_failed_is_told() -> None:
    taken: list[str] = []

    def fail(why: str) -> None:
        taken.append(why)
        raise HarnessError(why)

    with pytest.raises(InfraError, match=r"^h1: one; three$"):
        take_down("h1", lambda: fail("one"), lambda: taken.append("two"), lambda: fail("three"))
    assert taken == ["one", "two", "three"]
