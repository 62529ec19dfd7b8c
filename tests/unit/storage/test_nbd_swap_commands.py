"""Swap over NBD: the commands that each host gets, as its shell would get them."""

from __future__ import annotations

import re
import shlex

import pytest
from fakes import make_site, make_topology, shell_of

from harness.model.errors import InfraError, ShellError
from harness.model.topology import MIB, Host, Topology
from harness.site.target import Site
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_server import CONFIG, IMAGE

DD = "16777216 bytes (17 MB, 16 MiB) copied, {} s, 33 MB/s\n"


@pytest.fixture
def site() -> Site:
    return make_site()


def commands(site: Site, role: str) -> list[str]:
    return shell_of(site.role(role)).commands


def loopback() -> Site:
    host = Host(name="one", memory=256 * MIB)
    return make_site(Topology(name="single", hosts=(host,), roles={"client": "one", "server": "one"}))


def parses(command: str) -> None:
    """Every quote of it is closed."""
    shlex.split(command)


def test_the_server_gets_its_file_and_its_configuration_as_it_is(site: Site) -> None:
    NbdSwap().set_up(site)
    _, image, serve, listening = commands(site, "server")
    assert image == f"truncate -s {5 * 256 * MIB} {IMAGE}"
    assert f"printf %s {shlex.quote(CONFIG)} >/srv/harness-nbd/nbd.conf" in serve
    words = shlex.split(serve)
    assert words[words.index("printf") + 1 : words.index("printf") + 3] == ["%s", CONFIG]
    assert "10809" in listening and "%" not in serve.replace("%s", "")


def test_in_memory_only_where_there_is_room_for_it(site: Site) -> None:
    NbdSwap(ratio=5.0).set_up(site)
    assert "mount -t tmpfs" in commands(site, "server")[0]
    small = make_site()
    NbdSwap(ratio=8.0).set_up(small)
    assert "mount" not in commands(small, "server")[0]
    single = loopback()
    NbdSwap(ratio=0.1).set_up(single)
    assert "mount" not in commands(single, "server")[0]


def test_the_client_connects_to_where_it_reaches_the_server(site: Site) -> None:
    probe = NbdSwap().set_up(site)
    off, connect = commands(site, "client")
    assert off == "swapoff -a" and connect.startswith("modprobe nbd && ")
    assert re.search(r"nbd-client 10\.77\.0\.2 10809 /dev/nbd0 -name swap -block-size 4096 -swap$", connect)
    assert probe.host == "c1" and probe.counters == {"nbd0": "/sys/block/nbd0/stat"}
    assert probe.spec == {"path": "/dev/nbd0", "offset": (5 * 256 - 1) * MIB, "write": False}
    assert not any("{" in path for path in probe.evidence) and "/sys/block/nbd0/inflight" in probe.evidence
    single = loopback()
    NbdSwap().set_up(single)
    assert "nbd-client 127.0.0.1 " in commands(single, "client")[-1]


def test_a_server_that_does_not_listen(site: Site) -> None:
    shell_of(site.role("server")).answer("ss -Hltn", exit_code=1)
    with pytest.raises(InfraError, match="s1: nbd-server does not listen on port 10809"):
        NbdSwap().set_up(site)


def test_a_client_that_cannot_connect(site: Site) -> None:
    shell_of(site.role("client")).answer("nbd-client", exit_code=1)
    with pytest.raises(ShellError, match="exit code 1"):
        NbdSwap().set_up(site)


def test_the_baseline_counts_pages_both_ways(site: Site) -> None:
    shell = shell_of(site.role("client"))
    shell.answer("dd if=", DD.format("0.5") + DD.format("1.5"))
    assert NbdSwap().baseline(site) == 2 * 16 * MIB / 4096 / 2.0
    copy, swap = shell.commands
    assert "of=/dev/nbd0" in copy and "if=/dev/nbd0" in copy and copy.count("direct") == 2
    assert swap == "mkswap /dev/nbd0 >/dev/null && swapon /dev/nbd0"


@pytest.mark.parametrize("text", ["", "dd: error writing", DD.format("0.5"), DD.format("0") + DD.format("0")])
def test_a_baseline_without_figures(site: Site, text: str) -> None:
    shell_of(site.role("client")).answer("dd if=", text)
    with pytest.raises(InfraError, match="gave no figures"):
        NbdSwap().baseline(site)


def test_tear_down_takes_the_client_first_and_minds_no_failure(site: Site) -> None:
    for role in ("client", "server"):
        shell_of(site.role(role)).answer("true", exit_code=1)
    NbdSwap(device="nbd3").tear_down(site)
    (end,) = commands(site, "client")
    assert end.startswith("swapoff /dev/nbd3; ") and "nbd-client -d /dev/nbd3; " in end and end.endswith("; true")
    stop, remove = commands(site, "server")
    assert stop.startswith("kill $(cat /run/harness-nbd.pid)") and remove.endswith("rm -rf /srv/harness-nbd")


def test_every_command_is_whole_and_has_a_deadline_for_a_slow_host() -> None:
    site = make_site(make_topology(), slowdown=12.0)
    shell_of(site.role("client")).answer("dd if=", DD.format("0.5") + DD.format("1.5"))
    swap = NbdSwap()
    swap.set_up(site)
    swap.baseline(site)
    swap.tear_down(site)
    for role in ("client", "server"):
        shell = shell_of(site.role(role))
        for command in shell.commands:
            parses(command)
        assert all(deadline.remaining > 100 for deadline in shell.deadlines)
    assert swap.critical_tasks == ("nbd-server", "pool") and "nbd0" in swap.describe()
