"""Ways of holding a network block device, and its servers, on real guests: who is left, and how it is protected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import live_site

from harness.faults.servers import NbdServerRestart
from harness.model.measure import Value
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB, Host, Link, Topology
from harness.site.target import Site
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_client import HandedOver, Held, Kept, NbdConnection
from harness.storage.nbd_server import NbdServer

pytestmark = pytest.mark.slow

PAIR = Topology(
    name="pair",
    hosts=(Host(name="client", memory=160 * MIB, cpus=2), Host(name="server", memory=GIB)),
    roles={"client": "client", "server": "server"},
    links=(Link(name="cluster", hosts=("client", "server")),),
)
NBDKIT = NbdServer(program="nbdkit")
PROTECTED = -1000


@pytest.fixture(scope="class")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A client and a server that can keep its swap in memory: one pair for the tests of a class, else for one test."""
    with live_site(shared_settings, PAIR, tmp_path_factory.mktemp("pair")) as site:
        yield site


def _run(site: Site, role: str, command: str) -> str:
    return site.role(role).shell.run(command, deadline=site.deadline(10), check=False).stdout.strip()


def _measured(swap: NbdSwap, site: Site, evidence: Path) -> dict[str, Value]:
    """Swap on, a look, swap off; and nothing is left of it."""
    swap.set_up(site)
    swap.baseline(site)
    assert "/dev/nbd0" in _run(site, "client", "cat /proc/swaps")
    found = {measure.name: measure.value for measure in swap.measures(site, evidence)}
    print(f"{swap.describe()}: {found}")
    swap.tear_down(site)
    left = "tail -n +2 /proc/swaps; pgrep -l nbd-; ls -d /run/harness/storage 2>/dev/null"
    assert _run(site, "client", left) == ""
    assert _run(site, "server", "pgrep -l nbd; ls -d /srv/harness-nbd 2>/dev/null; ls /run/harness-nbd.pid") == ""
    return found


class TestWhatLeavesItsGuestsAsTheyWere:
    """Swap is on, is looked at, and is off again."""

    def test_who_holds_the_connection_and_how_it_is_protected(self, site: Site, tmp_path: Path) -> None:
        ways: dict[str, NbdConnection] = {
            "default": HandedOver(),
            "as it comes": Held(),
            "in the foreground": Held(fork=False),
            "without -swap": Held(swap=False),
            "persistent, with a timeout": Held(persist=True, timeout_s=15),
            "kept": Kept(),
            "guarded": Kept(guarded=True),
        }
        seen = {name: _measured(NbdSwap(program=NBDKIT, connection=way), site, tmp_path) for name, way in ways.items()}
        assert seen["default"] == {"connection held by": "the kernel alone"}
        assert {name: bool(facts.get("memory that it has locked")) for name, facts in seen.items()} == {
            "default": False,
            "as it comes": False,  # it has locked itself and then forked
            "in the foreground": True,
            "without -swap": False,
            "persistent, with a timeout": False,
            "kept": False,
            "guarded": True,
        }
        protected = {name for name, facts in seen.items() if facts.get("its OOM score adjustment") == PROTECTED}
        assert protected == {"as it comes", "in the foreground", "persistent, with a timeout", "guarded"}
        assert all(facts.get("it is there at the end", "yes") == "yes" for facts in seen.values())

    @pytest.mark.parametrize("server", [NbdServer(), NBDKIT, NbdServer(program="nbdkit", locked=True)])
    def test_a_server_serves_and_is_locked_if_it_was_asked_to(self, site: Site, server: NbdServer) -> None:
        swap = NbdSwap(program=server)
        swap.set_up(site)
        assert swap.baseline(site) > 0
        locked = _run(site, "server", f"grep VmLck /proc/$(pgrep -o -x {server.program})/status").split()[1]
        assert (int(locked) > 0) is server.locked
        swap.tear_down(site)


@pytest.mark.parametrize(
    ("way", "there", "reads"),
    [(HandedOver(), [], False), (Held(persist=True, fork=False), [], False), (Kept(guarded=True), [], True)],
    ids=["handed over", "persistent", "kept"],
)
def test_who_comes_back_when_the_server_does(site: Site, way: NbdConnection, there: list[str], reads: bool) -> None:
    swap = NbdSwap(connection=way)
    swap.set_up(site)
    swap.baseline(site)
    fault = NbdServerRestart()
    read = "timeout 60 dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct >/dev/null 2>&1; echo $?"
    assert _run(site, "client", read) == "0"
    fault.inject(site)
    fault.heal(site)
    print(_run(site, "client", "sleep 5; dmesg | tail -n 8; cat /run/harness/storage/log; pgrep -l nbd"))
    assert (_run(site, "client", read) == "0") is reads
