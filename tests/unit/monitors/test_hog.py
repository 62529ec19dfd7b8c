"""The hog: how it is put in place, what it does, and what its figures say of one that is gone."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import agent_of, make_site, no_answer, shell_of
from packed import packed

from harness.guest import board
from harness.model.errors import DeadlineExceeded, ShellError, UsageError
from harness.model.topology import MIB
from harness.monitors.instruments.guest import hog
from harness.monitors.instruments.hog import KINDS, SCRIPT, STATE, Hog
from harness.site.target import Site
from harness.site.zipapp import pack

RUN, SIZE = board.RUN.decode(), len(board.RUN) + hog.SIZE
HELD = 3 * 256 * 1024 + 4096


def figures(site: Site, tmp_path: Path) -> dict[str, object]:
    return {found.name: found.value for found in Hog(share=0.5).measures(site, tmp_path)}


def test_everything_is_in_place_and_open_before_the_load() -> None:
    site = make_site()
    Hog(share=0.5).prepare(site)
    shell, agent = shell_of(site.role("client")), agent_of(site.role("client"))
    assert f"truncate -s {SIZE} {STATE}" in shell.commands[0]
    assert shell.files == {"/run/harness/hog/hog.pyz": pack(SCRIPT)}
    assert agent.asked == [("open", {"paths": [STATE]}), ("open", {"paths": [STATE], "write": True})]


def test_the_launch_is_one_command_that_leaves_it_running() -> None:
    site = make_site()
    Hog(share=0.5, kind="shmem").launch(site)
    words = shlex.split(shell_of(site.role("client")).commands[0])
    assert words[4:8] == ["/run/harness/hog/hog.pyz", STATE, str(128 * MIB), "shmem"] and words[-1] == "&"


@pytest.mark.parametrize(
    ("given", "problem"), [({"kind": "huge"}, "no memory 'huge'"), ({"share": 0.0}, "it is more than 0")]
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Hog(**{"share": 0.5, **given})  # type: ignore[arg-type]


def state_of(site: Site, text: str, comm: str | Exception) -> None:
    agent = agent_of(site.role("client"))

    def read(arguments: dict[str, object]) -> None:
        agent.replies["read"] = comm if str(arguments["path"]).startswith("/proc/") else text

    agent.on["read"] = read


def test_its_figures_are_read_through_the_agent(tmp_path: Path) -> None:
    site = make_site()
    state_of(site, f"{RUN}{123:10} {8192:20} {4:20}\n", "hog\n")
    assert figures(site, tmp_path) == {"held by the hog": 8, "rounds of the hog": 4}


def test_it_is_told_to_stop_and_waited_for() -> None:
    site = make_site()
    Hog(share=0.5).end(site)
    assert agent_of(site.role("client")).asked == [("write", {"path": STATE, "text": "stop"})]
    assert "pgrep -x hog" in shell_of(site.role("client")).commands[-1]


@pytest.mark.parametrize("text", [RUN + "\0" * (SIZE - len(RUN)), f"{RUN}{123:10} {8192:20} {4:20}\n"])
def test_a_hog_that_was_killed_holds_nothing(tmp_path: Path, text: str) -> None:
    site = make_site()
    state_of(site, text, ShellError(host="c1", command="read", problem="No such file or directory"))
    assert figures(site, tmp_path)["held by the hog"] == 0


def test_a_host_that_does_not_answer_has_no_figures(tmp_path: Path) -> None:
    site = make_site()
    state_of(site, f"{RUN}{123:10} {8192:20} {4:20}\n", no_answer("read"))
    with pytest.raises(DeadlineExceeded):
        figures(site, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_what_it_is_told_to_and_touches_it_until_somebody_says_stop(tmp_path: Path, kind: str) -> None:
    state = tmp_path / "state"
    state.write_bytes(RUN.encode() + b"\0" * (SIZE - len(RUN)))
    process = subprocess.Popen([sys.executable, "-I", "-S", packed(SCRIPT), state, str(HELD), kind])
    try:
        while (words := state.read_text().replace("\0", " ").split()[1:]) == [] or int(words[2]) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        assert [int(word) for word in words[:2]] == [process.pid, HELD]
        rss = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmRSS" in line)
        assert int(rss.split()[1]) * 1024 >= HELD
        with state.open("r+b") as file:
            file.write(b"stop")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_it_may_begin_later_than_the_load() -> None:
    site = make_site()
    Hog(share=0.5, after_s=8.0).launch(site)
    assert "anonymous 8.0 >" in shell_of(site.role("client")).commands[-1]
