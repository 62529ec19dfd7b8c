"""The watch over sockets on its host: what it makes of the kernel's answers, and when it calls something a stall."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.board import RUN, STOP, WAIT, Board
from harness.monitors.instruments import sockets as reader
from harness.monitors.instruments.guest import drops, kernel_threads, ping_pong, sock_diag, sockets, stalls

KEY, OTHER = (40000, 5201), (40001, 5201)
MIB = 1024 * 1024

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a TCP connection of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            yield client, accepted


@pytest.fixture
def diag() -> Iterator[sock_diag.Diag]:
    """A line to this machine's kernel."""
    made = sock_diag.Diag()
    with made.socket:
        yield made


def test_the_kernel_tells_of_a_connection_what_ss_shows(pair: Pair, diag: sock_diag.Diag) -> None:
    client, accepted = pair
    client.sendall(b"x" * 5000)
    accepted.recv(5000, socket.MSG_WAITALL)
    key = (client.getsockname()[1], client.getpeername()[1])
    found = diag.sockets("127.0.0.1", {key[1]})
    assert set(found) == {key, key[::-1]}
    assert found[key]["acked"] >= 5000 and found[key[::-1]]["received"] == 5000
    sample = found[key]
    assert sample["state"] == sock_diag.ESTABLISHED and sample["rto_us"] > 0 and sample["last_send_ms"] < 60_000
    assert set(sock_diag.TCP_INFO) <= set(sample) and sample["retransmits"] == 0


def test_packets_for_which_there_was_no_memory_are_counted_since_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "netstat"
    text = "TcpExt: PruneCalled PFMemallocDrop TCPRcvQDrop\nTcpExt: 9 {} 5\nIpExt: InOctets\nIpExt: 7\n"
    path.write_text(text.format(3))
    watched = drops.Drops(str(path))
    path.write_text(text.format(20))
    watched.look()
    assert watched.record() == {"PFMemallocDrop": 17, "TCPRcvQDrop": 0}
    watched.begin()
    assert set(watched.record().values()) == {0}
    os.close(watched.file)
    assert "PFMemallocDrop" in drops.counters(Path(drops.NETSTAT).read_text()), "the kernel's own file reads like that"


def test_bytes_that_nobody_takes_are_seen_as_bytes_to_send(pair: Pair, diag: sock_diag.Diag) -> None:
    client, _ = pair
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    key = (client.getsockname()[1], client.getpeername()[1])
    sample = diag.sockets("127.0.0.1", {key[1]})[key]
    assert sample["send_queue"] > 0 and sample["timer"] != 0


def test_keepalive_shows_as_the_timer(pair: Pair, diag: sock_diag.Diag) -> None:
    client, _ = pair
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    key = (client.getsockname()[1], client.getpeername()[1])
    sample = diag.sockets("127.0.0.1", {key[1]})[key]
    assert reader.TIMERS[sample["timer"]] == "keepalive" and 0 < sample["timer_ms"] <= 60_000


def test_connections_of_others_are_left_out(pair: Pair, diag: sock_diag.Diag) -> None:
    port = pair[0].getpeername()[1]
    assert not diag.sockets("127.0.0.2", {port})
    assert not diag.sockets("127.0.0.1", {1})


def test_fields_that_an_older_kernel_does_not_have_are_missing() -> None:
    info = sock_diag.ATTRIBUTE.pack(sock_diag.ATTRIBUTE.size + 104, sock_diag.INET_DIAG_INFO) + b"\1" * 104
    assert "retransmits" in sock_diag.tcp_info(info) and "acked" not in sock_diag.tcp_info(info)
    assert sock_diag.tcp_info(b"") == {} and sock_diag.tcp_info(bytes(8)) == {}


def direction(*samples: tuple[float, dict[tuple[int, int], int]]) -> stalls.Direction:
    made = stalls.Direction(3.0)
    for now, values in samples:
        made.look(now, values)
    return made


def test_a_stall_has_an_onset_and_a_length() -> None:
    made = direction((0, {KEY: 0}), (1, {KEY: MIB}), (2, {KEY: MIB}), (9.5, {KEY: 2 * MIB}), (10, {KEY: 3 * MIB}))
    assert made.stalls == [[1, 8.5]] and made.count == 1
    assert made.record()["bytes"] == 3 * MIB


def test_a_pause_below_the_threshold_is_none() -> None:
    made = direction((0, {KEY: MIB}), (2.9, {KEY: 2 * MIB}), (5.8, {KEY: 3 * MIB}))
    assert made.stalls == [] and made.record()["moved_at"] == 5.8


def test_a_direction_of_acknowledgements_never_stalls() -> None:
    made = direction((0, {KEY: 100}), (60, {KEY: 200}), (120, {KEY: 300}))
    assert made.stalls == [] and made.record()["moved_at"] is None


def test_one_connection_that_moves_is_enough() -> None:
    made = direction((0, {KEY: MIB, OTHER: MIB}), (2, {KEY: MIB, OTHER: 2 * MIB}), (4, {KEY: MIB, OTHER: 3 * MIB}))
    assert made.stalls == []


def test_nobody_waits_once_the_connection_is_closed() -> None:
    made = direction((0, {KEY: MIB}), (1, {}), (60, {}), (61, {OTHER: 10}))
    assert made.stalls == [] and made.record()["moved_at"] == 61


def test_only_so_many_stalls_are_kept_and_all_are_counted() -> None:
    samples = [(10.0 * step, {KEY: MIB * (step + 1)}) for step in range(stalls.KEPT_STALLS + 10)]
    made = direction(*samples)
    assert len(made.stalls) == stalls.KEPT_STALLS and made.count == stalls.KEPT_STALLS + 9


def test_processor_time_is_read_behind_a_name_with_blanks() -> None:
    line = b"77 (kworker/0:1 (x) y) I 2 0 0 0 -1 69238880 0 0 0 0 11 22 0 0 20 0 1 0 5 0 0"
    assert kernel_threads.cpu_ticks(line) == 33


def test_threads_count_from_the_first_look_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = {b"a": 100, b"b": 7}
    threads = kernel_threads.Threads()
    fds = {}
    for letter in ticks:
        fds[letter], other = os.pipe()
        os.close(other)
    monkeypatch.setattr(threads, "find", lambda: None)
    threads.files = {"1": ("kswapd", fds[b"a"]), "2": ("kworker", fds[b"b"])}
    by_fd = {fd: letter for letter, fd in fds.items()}
    monkeypatch.setattr(os, "pread", lambda fd, *_: by_fd[fd])
    monkeypatch.setattr(kernel_threads, "cpu_ticks", lambda text: ticks[text])
    threads.look(0.0)
    ticks[b"a"] += 3 * kernel_threads.TICKS
    threads.look(1.0)
    assert threads.seconds() == {"kswapd": 3.0, "kworker": 0.0}
    for fd in fds.values():
        os.close(fd)


def test_a_board_that_is_too_full_goes_without_its_samples(tmp_path: Path) -> None:
    board = Board(str(tmp_path / "board"), 600)
    record = {"now": 1.5, "samples": {"40000-5201": [{"acked": 1}] * 100}}
    sockets.put(board, record)
    assert reader.read_board(board.memory[:].decode()) == {"now": 1.5, "samples": {}}


def test_a_byte_goes_there_and_back_and_a_connection_that_ends_is_no_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ping = ping_pong.Ping("unused")
        threading.Thread(target=lambda: theirs.send(theirs.recv(1)), daemon=True).start()
        assert ping.exchange(ours) and ping.count == 1 and ping.waiting is None
        theirs.close()
        with pytest.raises(OSError, match="Broken pipe"):
            ping.exchange(ours)
        assert ping.count == 1 and ping.waiting is not None


def when(process: subprocess.Popen[bytes], board: Path, word: bytes, count: int) -> dict[str, Any]:
    """The record once the board says `word` and it has so many samples."""
    while process.poll() is None:
        time.sleep(0.05)
        text = board.read_bytes() if board.exists() else b""
        with suppress(ValueError):
            if text.startswith(word) and (record := reader.read_board(text.decode()))["count"] == count:
                return record
    raise AssertionError(f"it ended with {process.returncode}")


def test_the_watch_waits_for_the_load_and_ends_when_somebody_says_stop(tmp_path: Path, pair: Pair) -> None:
    board = tmp_path / "board"
    port = pair[0].getpeername()[1]
    command = [sys.executable, "-I", "-S", packed(reader.SCRIPT), "watch", str(board), "3", "127.0.0.1", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        record = when(process, board, WAIT, 1)
        with board.open("r+b") as file:
            file.write(RUN)
        begun = record["begun"]
        record = when(process, board, RUN, 2)
        assert record["begun"] > begun, "what was before does not count"
        assert len(record["samples"]) == 2 and set(record["cpu"]) == {"kswapd", "kworker"}
        while process.poll() is None:
            with suppress(FileNotFoundError), board.open("r+b") as file:
                file.write(STOP)
            time.sleep(0.05)
        assert process.returncode == 0 and not board.exists()
    finally:
        process.kill()
        process.wait()


def test_the_agent_reads_a_board_whole() -> None:
    assert sockets.BOARD_SIZE + len(RUN) <= agent.ANSWER


def test_messages_are_as_long_as_the_kernels() -> None:
    assert struct.calcsize("=BBBB48xIIIII") == sock_diag.MESSAGE.size == 72
    assert json.loads(sockets.checked({"a": 1}).rpartition(b"*")[0]) == {"a": 1}
