"""Canaries: the programs themselves for a moment, their board, and what is read from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fakes import agent_of, make_site, shell_of
from packed import packed

from harness.model.errors import InfraError
from harness.monitors.instruments.board import Times, draw, end_ms, read_board
from harness.monitors.instruments.canaries import BOARDS, SCRIPT, UPTIME, Canaries
from harness.monitors.instruments.guest import canaries as script
from harness.monitors.instruments.guest.canaries import BUCKETS
from harness.site.target import Site
from harness.site.zipapp import pack


def cells(name: str, *values: int, **counts: int) -> str:
    """A line of a board; `counts` are like b5=2."""
    buckets = [counts.get(f"b{bucket}", 0) for bucket in range(BUCKETS)]
    return " ".join([name, *map(str, (*values, *buckets))])


def board(*lines: str) -> str:
    return "\n".join(["run", *lines]) + "\n"


@pytest.fixture
def written(tmp_path: Path) -> list[Times]:
    """What canaries on this machine noted in half a second; /bin/true of an `ls` is quick enough for that."""
    path = tmp_path / "board"
    wanted = ["fork=", "date=", f"ls={SCRIPT.parent}", f"writer={tmp_path / 'log'}"]
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(path), "0.5", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return read_board(path.read_text(encoding="ascii"), now_s=0.0)


def test_every_canary_notes_its_times_on_the_board(written: list[Times], tmp_path: Path) -> None:
    assert [times.name for times in written] == ["fork", "date", "ls", "writer"]
    for times in written:
        assert times.samples == sum(times.counts) >= 1 and not times.failures
        assert times.worst_ms > 0 and times.worst_at_s > 0
    assert (tmp_path / "log").stat().st_size == written[3].samples * 4096


def test_a_canary_whose_program_fails_is_counted_and_its_time_too(tmp_path: Path) -> None:
    path = tmp_path / "board"
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(path), "0.2", f"ls={tmp_path / 'nothing'}"]
    subprocess.run(command, capture_output=True, timeout=60, check=False)
    (times,) = read_board(path.read_text(encoding="ascii"), now_s=0.0)
    assert times.failures == times.samples >= 1


def test_canaries_without_a_time_end_when_they_are_told(tmp_path: Path) -> None:
    path = tmp_path / "board"
    process = subprocess.Popen([sys.executable, "-I", "-S", packed(SCRIPT), str(path), "0", "fork="])
    try:
        while not path.exists() or b"fork" not in path.read_bytes():
            assert process.poll() is None
        with path.open("r+b") as file:
            file.write(b"stop")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("milliseconds", [0.2, 1.0, 1.5, 10.0, 2400.0, 9700.0])
def test_a_time_is_in_the_bucket_whose_bounds_it_has(milliseconds: float) -> None:
    bucket = script.bucket_of(round(milliseconds * 1000))
    assert milliseconds <= end_ms(bucket) and (bucket == 0 or milliseconds >= end_ms(bucket - 1) * 0.999)


def test_a_time_beyond_all_buckets_is_in_the_last() -> None:
    assert script.bucket_of(10**12) == BUCKETS - 1


def test_percentiles_are_the_end_of_their_bucket_and_never_above_the_worst() -> None:
    (times,) = read_board(board(cells("fork", 100, 0, 9_700_000, 5_000, 0, b0=50, b9=49, b53=1)), now_s=9.0)
    assert times.percentile(0.5) == 1.0
    assert times.percentile(0.99) == pytest.approx(end_ms(9))
    assert times.percentile(1.0) == times.worst_ms == 9700.0
    assert times.worst_at_s == 5.0


def test_a_sample_under_way_counts_for_as_long_as_it_has_taken() -> None:
    (times,) = read_board(board(cells("ls", 3, 0, 200_000, 1_000, 60_000, b31=3)), now_s=100.0)
    assert times.samples == 4 and times.worst_ms == 40_000.0 and times.worst_at_s == 60.0
    assert sum(times.counts) == 4


def test_a_canary_without_samples_has_zeros() -> None:
    (times,) = read_board(board(cells("ls", 0, 0, 0, 0, 0)), now_s=100.0)
    assert (times.samples, times.percentile(0.5), times.worst_ms) == (0, 0.0, 0.0)


@pytest.mark.parametrize("text", ["", "something\n", "run\nfork 1 2 3\n"])
def test_what_is_no_board_is_refused(text: str) -> None:
    with pytest.raises(InfraError, match="board"):
        read_board(text, now_s=0.0)


def test_the_drawing_shows_both_distributions_of_each_canary() -> None:
    calm = read_board(board(cells("fork", 10, 0, 9_000, 0, 0, b3=10)), now_s=0.0)
    load = read_board(board(cells("fork", 1000, 0, 1_900_000, 0, 0, b3=999, b8=1)), now_s=0.0)
    lines = draw(calm, load).splitlines()
    assert "10 samples calm, 1000 under load, worst 1900.0 ms" in lines[0]
    assert len(lines) == 2 + 6  # buckets 3 to 8
    assert lines[2].count("#") == 2 * 50 and lines[-1].strip().startswith("4.0") and lines[-1].count("#") == 1


@pytest.fixture
def site() -> Site:
    return make_site()


def test_the_calm_part_is_over_before_the_load_and_all_is_open_for_later(site: Site) -> None:
    shell, agent = shell_of(site.role("client")), agent_of(site.role("client"))
    Canaries(writer="/var/tmp/canary", calm_s=7.0).prepare(site)
    calm = next(command for command in shell.commands if "canaries.pyz" in command)
    assert calm.endswith(f"{BOARDS['calm']} 7.0 fork= date= ls=/usr/lib/python3 writer=/var/tmp/canary")
    assert shell.files == {"/run/harness/canaries/canaries.pyz": pack(SCRIPT)}
    opened = [path for verb, arguments in agent.asked if verb == "open" for path in arguments["paths"]]  # type: ignore[attr-defined]
    assert opened == [*BOARDS.values(), UPTIME, BOARDS["load"]]


def test_the_launch_leaves_them_running(site: Site) -> None:
    Canaries().launch(site)
    (launch,) = shell_of(site.role("client")).commands
    assert launch.startswith("setsid python3") and launch.endswith("&") and "writer=" not in launch
    assert f"{BOARDS['load']} 0 " in launch


def test_the_figures_are_read_through_the_agent_alone(site: Site, tmp_path: Path) -> None:
    agent = agent_of(site.role("client"))
    texts = {
        UPTIME: "100.00 150.00\n",
        BOARDS["calm"]: board(cells("fork", 4, 0, 8_000, 9_000, 0, b12=4)),
        BOARDS["load"]: board(cells("fork", 1, 0, 8_000, 9_000, 40_000, b12=1)),
    }
    agent.on["read"] = lambda arguments: agent.replies.update(read=texts[str(arguments["path"])])
    figures = {figure.name: figure for figure in Canaries().measures(site, tmp_path)}
    assert list(figures) == [f"fork {phase} {word}" for phase in ("calm", "load") for word in ("p50", "p99", "worst")]
    assert figures["fork calm worst"].value == 8.0 and figures["fork calm worst"].unit == "ms"
    assert figures["fork load worst"].value == 60_000.0
    assert not shell_of(site.role("client")).commands
    assert "fork: 4 samples calm" in (tmp_path / "canaries-c1.txt").read_text(encoding="utf-8")


def test_they_are_told_to_stop_and_waited_for(site: Site) -> None:
    Canaries().end(site)
    assert agent_of(site.role("client")).asked == [("write", {"path": BOARDS["load"], "text": "stop"})]
    assert "pgrep -f" in shell_of(site.role("client")).commands[-1]


def test_what_cannot_be_opened_is_told_before_the_load(site: Site) -> None:
    agent_of(site.role("client")).replies["open"] = "/proc/uptime: no such file\n"
    with pytest.raises(InfraError, match="c1: /proc/uptime: no such file"):
        Canaries().prepare(site)


def test_what_they_say_of_themselves() -> None:
    assert "synchronous writes to /x" in Canaries(writer="/x").describe()
    assert "writes" not in Canaries().describe() and "ls -lR" in Canaries().describe()
