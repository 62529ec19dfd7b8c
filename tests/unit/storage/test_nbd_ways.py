"""Servers of a network block device, and ways of holding its connection: what each does on its host, and says."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from fakes import make_site, no_answer, shell_of

from harness.model.errors import InfraError, ShellError, UsageError
from harness.site.target import Site
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_client import LOG, HandedOver, Held, Kept, NbdConnection
from harness.storage.nbd_server import IMAGE, NbdServer

STATUS = "Name:\t{name}\nVmLck:\t    {locked} kB\nThreads:\t1\n{score}\n"


def connected(way: NbdConnection, site: Site | None = None) -> list[str]:
    """What the client runs to connect."""
    site = site or make_site()
    client = site.role("client")
    way.connect(client, site, "/dev/nbd3", "10.77.0.2")
    return shell_of(client).commands


def words_of(way: NbdConnection) -> list[str]:
    """The command line of nbd-client itself."""
    command = next(line for line in "\n".join(connected(way)).splitlines() if "nbd-client " in line)
    words = shlex.split(command)
    return words[words.index("nbd-client") :]


def test_nbd_client_hands_over_unless_it_is_told_to_stay() -> None:
    assert "-nonetlink" not in words_of(HandedOver()) and "-swap" in words_of(HandedOver())
    assert "-nonetlink" in words_of(Held()) and "-swap" in words_of(Held())
    assert "-swap" not in words_of(Held(swap=False))


def test_who_stays_is_waited_for() -> None:
    (command,) = [command for command in connected(Held()) if "nbd-client " in command]
    assert "[ -e /sys/block/nbd3/pid ] && exit 0" in command and command.endswith("exit 1")
    site = make_site()
    shell_of(site.role("client")).answer("-nonetlink", exit_code=1)
    with pytest.raises(ShellError):
        connected(Held(), site)


def test_in_the_foreground_it_is_sent_to_the_background_with_a_log() -> None:
    (command,) = [command for command in connected(Held(fork=False)) if "nbd-client " in command]
    assert command.startswith("setsid nbd-client ") and f">{LOG} 2>&1 </dev/null &" in command
    assert "-nofork" in command and "-nofork" not in words_of(Held())


def test_persistence_and_a_timeout_are_nbd_clients_own() -> None:
    words = words_of(Held(persist=True, timeout_s=15))
    assert "-persist" in words and words[words.index("-timeout") + 1] == "15"
    assert words_of(HandedOver(timeout_s=15))[-2:] == ["-timeout", "15"]
    assert "-timeout" not in words_of(Held())
    for way in (HandedOver(timeout_s=-1), Held(timeout_s=-1)):
        with pytest.raises(UsageError, match="timeout of -1 s"):
            connected(way)


@pytest.mark.parametrize(
    ("way", "mode"), [(Kept(), "keep"), (Kept(guarded=True), "guard"), (Kept(reconnect=False), "leave")]
)
def test_the_keeper_is_told_how_to_stay(way: Kept, mode: str) -> None:
    assert shlex.split(connected(way)[-1])[-2:] == [mode, LOG]


@pytest.mark.parametrize(
    ("way", "bound"),
    [(HandedOver(), 0.0), (Held(timeout_s=9), 0.0), (Kept(timeout_s=5), 35.0), (Kept(wait_s=90), 100.0)],
)
def test_only_who_waits_for_a_connection_has_a_bound(way: NbdConnection, bound: float) -> None:
    assert way.bound_s == bound and NbdSwap(connection=way).bound_s == bound


@pytest.mark.parametrize("name", ["timeout_s", "dead_conn_timeout_s"])
def test_times_that_the_kernel_takes_for_never_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="of 0 s; it is 1 or more"):
        Kept(**{name: 0})  # type: ignore[arg-type]


def test_every_way_says_what_it_is_and_who_may_not_die() -> None:
    for way, process in ((HandedOver(), ""), (Held(), "nbd-client"), (Kept(), "nbd-keeper"), (Kept(guarded=True), "")):
        swap = NbdSwap(connection=way, program=NbdServer(program="nbdkit"))
        assert way.describe() in swap.describe() and "nbdkit" in swap.describe()
        assert set(swap.critical_tasks) >= {"nbdkit", *filter(None, [process])} and "" not in swap.critical_tasks


def served(server: NbdServer) -> str:
    site = make_site()
    server.start(site, "client", "server", 1 << 20)
    _, image, serve, _ = shell_of(site.role("server")).commands
    assert image == f"truncate -s 1048576 {IMAGE}"
    return serve


def test_nbdkit_serves_the_same_file() -> None:
    command = served(NbdServer(program="nbdkit"))
    assert command.startswith("nbdkit --port 10809 ")
    assert command.endswith(f" file {IMAGE}") and "--swap" not in command
    locked = served(NbdServer(program="nbdkit", locked=True))
    assert "nbdkit --swap --foreground " in locked and f" file {IMAGE} " in locked


def test_a_server_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no server 'qemu-nbd'; there are: nbd-server, nbdkit"):
        NbdServer(program="qemu-nbd")
    with pytest.raises(UsageError, match="nbd-server does not lock itself"):
        NbdServer(locked=True)


def test_a_server_that_does_not_answer_is_named() -> None:
    site = make_site()
    shell_of(site.role("server")).answer("NBDMAGIC", exit_code=1)
    with pytest.raises(InfraError, match="s1: nbdkit does not listen on port 10809"):
        NbdServer(program="nbdkit").start(site, "client", "server", 1 << 20)


def test_a_server_that_was_stopped_can_end() -> None:
    site = make_site()
    NbdServer(program="nbdkit").stop(site, "server")
    command, _ = shell_of(site.role("server")).commands
    assert command.startswith("kill $(cat ") and "pkill -CONT -x nbdkit;" in command


def figures(way: NbdConnection, site: Site) -> dict[str, object]:
    swap = NbdSwap(connection=way)
    swap.set_up(site)
    return {measure.name: measure.value for measure in swap.measures(site, Path("unused"))}


def test_what_it_measures_is_how_the_process_was_protected_and_whether_it_is_left() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("oom_score_adj", STATUS.format(name="nbd-keeper", locked=14_000, score=-1000))
    shell.answer("pgrep -x nbd-keeper; cat", "812\n10.25 lost\n15.50 connected again\n99.00 lost\n")
    assert figures(Kept(guarded=True), site) == {
        "connection held by": "nbd-keeper",
        "memory that it has locked": 14_000,
        "its OOM score adjustment": -1000,
        "it is there at the end": "yes",
        "connections made anew": 1,
    }


def test_a_process_that_is_gone_is_told() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("oom_score_adj", STATUS.format(name="nbd-client", locked=0, score=0))
    shell.answer("pgrep -x nbd-client; cat", "nbd,812: Kernel call returned: Connection timed out\n")
    assert figures(Held(), site)["it is there at the end"] == "no"


def test_where_nobody_stays_nobody_is_asked_for() -> None:
    site = make_site()
    assert figures(HandedOver(), site) == {"connection held by": "the kernel alone"}
    assert not any("pgrep" in command for command in shell_of(site.role("client")).commands)


def test_a_host_that_hangs_keeps_the_figures_from_before() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("oom_score_adj", STATUS.format(name="nbd-client", locked=0, score=-1000))
    shell.replies["pgrep -x nbd-client; cat"] = no_answer("pgrep")
    found = figures(Held(), site)
    assert found["its OOM score adjustment"] == -1000 and found["it is there at the end"] == "no answer"
