"""A simulated fabric: ibsim, opensm, and hosts in it on which the real tools run."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.drivers.protocols import Completed
from harness.drivers.ssh import quote
from harness.model.clock import Deadline
from tests.testbed.image import fabric_root

START_S = 30.0
PROMPT = "sim> "
TOOLS = ("iblinkinfo", "ibqueryerrors", "ibnetdiscover", "perfquery", "sminfo", "opensm")
# Two switches with two hosts each. 12X (8) and 10 Gb/s (4) is all that the simulator can do: nothing could be faster.
FULL = "w=8 s=4"
PAIRS = (("sw0", 1, "host1", 1), ("sw0", 2, "host2", 1), ("sw1", 1, "host3", 1), ("sw1", 2, "host4", 1))
TRUNK = ("sw0", 8, "sw1", 8)
Cable = tuple[str, int, str, int]


def topology(cables: tuple[Cable, ...] = (*PAIRS, TRUNK), slow: tuple[Cable, ...] = ()) -> str:
    """The simulator's file; cables in `slow` run at less than their ends could do."""
    nodes: dict[str, list[str]] = {name: [] for name in ("sw0", "sw1", "host1", "host2", "host3", "host4")}
    for cable in cables:
        near, near_port, far, far_port = cable
        speed = "" if cable in slow else f"\t{FULL}"
        nodes[near].append(f'[{near_port}]\t"{far}"[{far_port}]{speed}')
        nodes[far].append(f'[{far_port}]\t"{near}"[{near_port}]{speed}')
    texts = []
    for name, lines in nodes.items():
        kind = "Switch\t8" if name.startswith("sw") else "Hca\t1"
        texts.append("\n".join([f'{kind} "{name}"', *lines, ""]))
    return "\n".join(texts)


class SimulatedHost:
    """A shell on a host of the fabric: its tools are the real ones, with the simulator below them."""

    def __init__(self, fabric: SimulatedFabric, name: str) -> None:
        self.fabric, self.name = fabric, name

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        text = quote(command, arguments)
        done = subprocess.run(
            ["sh", "-c", text],
            capture_output=True,
            text=True,
            timeout=deadline.remaining,
            env=self.fabric.environment(self.name),
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, done.stderr
        return Completed(command=text, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class SimulatedFabric:
    """The simulator of one topology, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, fabric_root()
        self._processes: list[subprocess.Popen[str]] = []
        self._console: subprocess.Popen[str] | None = None
        (folder / "bin").mkdir()
        for tool in TOOLS:
            self._wrap(tool)

    def _program(self, path: str, *options: str) -> list[str]:
        libraries = f"{self.root}/usr/lib/x86_64-linux-gnu:{self.root}/lib/x86_64-linux-gnu"
        loader = f"{self.root}/lib64/ld-linux-x86-64.so.2"
        return [loader, "--library-path", libraries, *options, f"{self.root}/{path}"]

    def _wrap(self, tool: str) -> None:
        """The tool under its name, with the libraries of its own root and the simulator in place of the kernel."""
        library = f"{self.root}/usr/lib/x86_64-linux-gnu/umad2sim/libumad2sim.so"
        command = shlex.join(self._program(f"usr/sbin/{tool}", "--preload", library))
        path = self.folder / "bin" / tool
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)

    def environment(self, host: str) -> dict[str, str]:
        """That of a process on a host; the simulator listens at an abstract socket, which this names."""
        place = str(self.folder)
        own = {"SIM_HOST": host, "IBSIM_SOCKNAME": place, "OSM_CACHE_DIR": place, "OSM_TMP_DIR": place}
        return {**os.environ, **own, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"}

    def start(self, text: str) -> None:
        """Start the simulator, and wait until it answers."""
        (self.folder / "net").write_text(text)
        self._console = self._spawn(
            [*self._program("usr/bin/ibsim"), "-s", str(self.folder / "net")], self.environment("")
        )
        self._until(lambda: "Active" in self._links() or "Initialize" in self._links(), "the simulator does not answer")

    def manage(self) -> None:
        """Start a subnet manager, and wait until it has set up every link."""
        command = [str(self.folder / "bin/opensm"), "-f", str(self.folder / "opensm.log")]
        self._spawn(command, self.environment("host1"))
        self._until(
            lambda: "Active" in self._links() and "Initialize" not in self._links(), "the fabric is not brought up"
        )

    def say(self, command: str) -> None:
        """Type a command at the simulator's console, and wait for its next prompt."""
        assert self._console is not None and self._console.stdin is not None
        before = self.log.read_text().count(PROMPT)
        self._console.stdin.write(command + "\n")
        self._console.stdin.flush()
        self._until(lambda: self.log.read_text().count(PROMPT) > before, f"{command}: no prompt follows")

    @property
    def log(self) -> Path:
        """What the simulator and the subnet manager print."""
        return self.folder / "log"

    def host(self, name: str) -> SimulatedHost:
        """A host."""
        return SimulatedHost(self, name)

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=environment, cwd=self.folder
            )
        self._processes.append(process)
        return process

    def _links(self) -> str:
        return self.host("host1").run("iblinkinfo -l", deadline=Deadline.after(START_S), check=False).stdout

    def _until(self, holds: Callable[[], bool], problem: str) -> None:
        end = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < end, f"{problem}: {self.log.read_text()[-2000:]}"
            time.sleep(0.05)


@contextmanager
def simulated(text: str, *, managed: bool = True) -> Iterator[SimulatedFabric]:
    """A fabric of that topology, with a subnet manager or without."""
    with tempfile.TemporaryDirectory(prefix="ibsim-", dir="/tmp") as folder:
        fabric = SimulatedFabric(Path(folder))
        try:
            fabric.start(text)
            if managed:
                fabric.manage()
            yield fabric
        finally:
            fabric.stop()
