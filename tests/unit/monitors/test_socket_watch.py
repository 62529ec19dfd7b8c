"""The watch over sockets: how it is put in place, and what is made of its board."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes import agent_of, make_site, no_answer, shell_of

from harness.guest.board import RUN
from harness.model.errors import InfraError, ShellError, UsageError
from harness.model.measure import Measure
from harness.monitors.instruments.guest.sockets import checked
from harness.monitors.instruments.sockets import (
    BOARD,
    GONE,
    SCRIPT,
    SocketWatch,
    figures,
    in_words,
    read_board,
    stalls_in,
)
from harness.site.target import Site
from harness.site.zipapp import pack

SAMPLE = {
    "state": 1, "timer": 1, "timer_ms": 12400, "retries": 5, "receive_queue": 0, "send_queue": 65160, "backoff": 5,
    "rto_us": 6400000, "unacked": 45, "last_send_ms": 7100, "last_receive_ms": 31000, "rtt_us": 900, "retransmits": 7,
    "acked": 99, "received": 37,
}  # fmt: skip
MOVING = {"bytes": 5_000_000, "count": 0, "stalls": [], "moved_at": 159.8}
SILENT = {"bytes": 37, "count": 0, "stalls": [], "moved_at": None}
PING = {"count": 80, "worst": 0.25, "worst_at": 130.0, "waiting": None}


def board(**changes: Any) -> dict[str, Any]:
    record = {
        "begun": 100.0, "now": 160.0, "count": 120, "gap": 0.6, "directions": {"outgoing": MOVING, "incoming": SILENT},
        "worst": {}, "cpu": {"kswapd": 6.0, "kworker": 15.0}, "ping": PING, "samples": {},
        "drops": {"PFMemallocDrop": 17},
    }  # fmt: skip
    return {**record, **changes}


def reported(record: dict[str, Any], now: float = 160.0) -> dict[str, Any]:
    return {measure.name: measure.value for measure in figures(record, now, 3.0)}


def on_board(record: dict[str, Any]) -> str:
    return (RUN + checked(record)).decode()


def with_board(*texts: str) -> Site:
    """A site whose agent reads these boards one after the other, and the time 160 s."""
    site = make_site()
    agent, left = agent_of(site.role("client")), list(texts)

    def read(arguments: dict[str, object]) -> None:
        agent.replies["read"] = "160.00 300.00\n" if arguments["path"] == "/proc/uptime" else left.pop(0)

    agent.on["read"] = read
    return site


def test_everything_is_in_place_and_open_before_it_is_launched() -> None:
    site = make_site()
    watch = SocketWatch(ports=(5201,))
    watch.prepare(site)
    client, server = shell_of(site.role("client")), shell_of(site.role("server"))
    assert client.files == server.files == {"/run/harness/sockets/sockets.pyz": pack(SCRIPT)}
    assert server.commands[-1].startswith("setsid python3 -I -S /run/harness/sockets/sockets.pyz answer 10.77.0.2 >")
    assert f"sockets.pyz watch {BOARD} 3.0 10.77.0.2 5201 >" in client.commands[-2]
    assert client.commands[-1].startswith("for i in"), "it waits for the first sample"
    assert agent_of(site.role("client")).asked == [
        ("open", {"paths": [BOARD, "/proc/uptime"]}),
        ("open", {"paths": [BOARD], "write": True}),
    ]
    done = len(client.commands)
    watch.launch(site)
    assert agent_of(site.role("client")).asked[-1] == ("write", {"path": BOARD, "text": "run \n"})
    assert len(client.commands) == done, "nothing has to be started any more"


def test_a_watch_that_does_not_come_up_says_why() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("watch.log", "OSError: sock_diag answers with message 2\n", exit_code=1)
    with pytest.raises(ShellError, match="sock_diag answers with message 2"):
        SocketWatch().prepare(site)


def test_the_commands_are_a_shells() -> None:
    site = make_site()
    SocketWatch().prepare(site)
    for role in ("client", "server"):
        for command in shell_of(site.role(role)).commands:
            subprocess.run(["sh", "-n", "-c", command], check=True)
    subprocess.run(["sh", "-n", "-c", GONE], check=True)


def test_a_transfer_without_a_stall_says_so_and_acknowledgements_are_no_transfer() -> None:
    found = reported(board())
    assert found["outgoing stalls"] == 0 and "longest outgoing stall" not in found
    assert not any("incoming" in name for name in found)
    assert found["CPU of kswapd"] == 10.0 and found["CPU of kworker"] == 25.0
    assert found["longest ping on the link"] == 0.25 and found["pings on the link"] == 80
    assert found["PFMemallocDrop of TCP"] == 17


def test_the_longest_stall_has_its_onset_since_the_launch() -> None:
    direction = {**MOVING, "count": 2, "stalls": [[110.0, 4.0], [130.0, 12.3]]}
    found = reported(board(directions={"outgoing": direction, "incoming": SILENT}))
    assert found["outgoing stalls"] == 2
    assert (found["longest outgoing stall"], found["onset of longest outgoing stall"]) == (12.3, 30.0)


def test_a_stall_under_way_lasts_until_it_is_asked_about() -> None:
    direction = {**MOVING, "count": 1, "stalls": [[110.0, 4.0]], "moved_at": 120.0}
    found = reported(board(directions={"outgoing": SILENT, "incoming": direction}), now=190.0)
    assert found["incoming stalls"] == 2 and found["longest incoming stall"] == 70.0
    assert "outgoing stalls" not in found


def test_a_transfer_that_has_ended_without_a_stall_is_told() -> None:
    ended = {**MOVING, "moved_at": None}
    found = reported(board(directions={"outgoing": ended, "incoming": SILENT}))
    assert {name: value for name, value in found.items() if "stall" in name} == {"outgoing stalls": 0}


def test_a_ping_under_way_counts_as_well() -> None:
    assert reported(board(ping={**PING, "waiting": 140.0}), now=190.0)["longest ping on the link"] == 50.0


def test_the_state_of_the_socket_in_the_longest_stall_is_in_words() -> None:
    record = board(worst={"direction": "outgoing", "length": 31.0, "sockets": {"40000-5201": SAMPLE}})
    text = reported(record)["socket in the longest stall"]
    assert text == in_words(SAMPLE)
    assert "last send 7.1 s ago" in text and "timer retransmission in 12.4 s" in text and "7 retransmissions" in text
    assert "timer keepalive in 12.4 s" in in_words({**SAMPLE, "timer": 2})
    assert "timer off," in in_words({**SAMPLE, "timer": 0}) and "timer 9 " in in_words({**SAMPLE, "timer": 9})


def test_a_board_that_is_being_rewritten_is_read_again(tmp_path: Path) -> None:
    whole = on_board(board()) + "   "
    site = with_board(whole.replace("kswapd", "kswapp"), whole[:-9], whole)
    found = {measure.name for measure in SocketWatch().measures(site, tmp_path)}
    assert "outgoing stalls" in found
    assert json.loads((tmp_path / "sockets-c1.json").read_text()) == board()


def test_both_ends_come_to_their_end_as_far_as_they_answer() -> None:
    whole = on_board(board())
    site = with_board(whole)
    SocketWatch().end(site)
    assert ("write", {"path": BOARD, "text": "stop"}) in agent_of(site.role("client")).asked
    assert shell_of(site.role("server")).commands == ["kill $(cat /run/harness/sockets/answer.pid)"]
    hung = with_board(whole)
    agent_of(hung.role("client")).replies["write"] = no_answer("write")
    shell_of(hung.role("server")).replies["kill"] = no_answer("kill")
    SocketWatch().end(hung)


def test_a_board_on_which_nothing_stands_is_an_error(tmp_path: Path) -> None:
    site = with_board(*["\0" * 100] * 3)
    with pytest.raises(InfraError, match="c1: nothing whole on the board"):
        SocketWatch().measures(site, tmp_path)
    with pytest.raises(ValueError, match="it reads"):
        read_board("")


def test_a_file_that_cannot_be_opened_is_an_error() -> None:
    site = make_site()
    agent_of(site.role("client")).replies["open"] = f"{BOARD}: No such file\n"
    with pytest.raises(InfraError, match="c1: /dev/shm/harness-sockets: No such file"):
        SocketWatch().prepare(site)


@pytest.mark.parametrize("given", [{"ports": ()}, {"stall_s": 0}])
def test_a_watch_of_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="it needs a port"):
        SocketWatch(**given)
    assert "sockets of client with server" in SocketWatch().describe()


def test_the_stalls_of_both_directions_are_counted_together_and_no_others() -> None:
    measures = [
        Measure(name="outgoing stalls", value=2, unit="1"),
        Measure(name="longest outgoing stall", value=12.3, unit="s"),
        Measure(name="incoming stalls", value=1, unit="1"),
        Measure(name="longest incoming stall", value=4.0, unit="s"),
        Measure(name="allocation stalls", value=500),
        Measure(name="longest stall", value=99.0, unit="s"),
    ]
    assert stalls_in(measures) == (3, 12.3)
    assert stalls_in(measures[4:]) == (0, 0.0)
