"""Power of labs that have a service for it: a real pdudaemon, and a real labgrid with coordinator and exporter.

What they switch is a file, by a program that pdudaemon's commands run, and so does the HTTP server of labgrid's
"simplerest" outlets.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.drivers.bmc import PowerDriver, power_of
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.owned_host import PowerSpec
from harness.model.power import PowerState
from tests.testbed.image import lab_servers
from tests.testbed.own_servers import free_port

pytestmark = pytest.mark.physical
START_S = 60.0
OUTLET = "3"


OUTLET_PROGRAM = """\
#!/bin/sh
cd {folder} && sleep "$(cat pause)" && [ ! -e broken ] || exit 1
echo "$1" >outlet && echo "$1" >>history
"""


class Outlet(http.server.BaseHTTPRequestHandler):
    """GET /outlet tells the state of a file, /outlet/1 and /outlet/0 change it by the outlet's program."""

    folder: Path

    def do_GET(self) -> None:
        words = self.path.strip("/").split("/")
        done = len(words) == 1 or self._switch("on" if words[1] == "1" else "off")
        body = b"1" if (self.folder / "outlet").read_text().strip() == "on" else b"0"
        self.send_response(200 if done else 500)
        self.end_headers()
        self.wfile.write(body)

    def _switch(self, state: str) -> bool:
        return subprocess.run([self.folder / "switch", state]).returncode == 0

    def log_message(self, format: str, *args: object) -> None:
        pass


class Lab:
    """One service with an outlet; `state` is the file that the outlet switches, `processes` are its servers."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.state = name, folder, folder / "outlet"
        self.state.write_text("on")
        (folder / "pause").write_text("0")
        (folder / "history").touch()
        (folder / "switch").write_text(OUTLET_PROGRAM.format(folder=folder))
        (folder / "switch").chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.spec = PowerSpec(driver=name)

    @property
    def power(self) -> PowerDriver:
        return power_of(self.spec, "ib1")

    def start(self, *command: object, within: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            argv = [str(lab_servers() / "bin" / str(command[0])), *map(str, command[1:])]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        deadline = Deadline.after(START_S)
        while within not in "".join(path.read_text() for path in self.folder.glob("*log")):
            assert process.poll() is None and not deadline.passed, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.2)
        return process

    def signal(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    @property
    def history(self) -> list[str]:
        """To which states it was switched, one after another."""
        return (self.folder / "history").read_text().split()

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def pdudaemon(folder: Path) -> Lab:
    lab = Lab("pdudaemon", folder)
    commands = {f"cmd_{state}": f"{folder}/switch {state} # %s" for state in ("on", "off")}
    settings = {
        "daemon": {"hostname": "127.0.0.1", "port": lab.port, "logging_level": "DEBUG", "listener": "http"},
        "pdus": {"pdu1": {"driver": "localcmdline", **commands}},
    }
    (folder / "pdudaemon.json").write_text(json.dumps(settings))
    given = ("--conf", folder / "pdudaemon.json", "--listener", "http", "--logfile", folder / "pdu.log")
    lab.start("pdudaemon", *given, within="Listening on")
    lab.spec = PowerSpec(
        driver="pdudaemon", address=f"http://127.0.0.1:{lab.port}", outlet=f"pdu1/{OUTLET}", status=f"cat {lab.state}"
    )
    return lab


def labgrid(folder: Path) -> Lab:
    lab = Lab("labgrid", folder)
    Outlet.folder = folder
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Outlet)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    outlet = {"model": "simplerest", "host": f"http://127.0.0.1:{rest.server_port}/outlet/{{value}}", "index": 0}
    (folder / "exporter.yaml").write_text(json.dumps({"rack": {"NetworkPowerPort": outlet}}))
    address = f"127.0.0.1:{lab.port}"
    lab.start("labgrid-coordinator", "-l", address, within="oordinator")
    lab.start("labgrid-exporter", "-c", address, "-n", "bench", folder / "exporter.yaml", within="rack")
    client = [str(lab_servers() / "bin/labgrid-client"), "-x", address, "-p", "ib1"]
    for words in (["create"], ["add-match", "bench/rack/NetworkPowerPort"], ["acquire"]):
        subprocess.run([*client, *words], check=True, capture_output=True, timeout=START_S)
    lab.spec = PowerSpec(driver="labgrid", address=address, outlet="ib1")
    return lab


@pytest.fixture(params=[pdudaemon, labgrid])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("PATH", str(lab_servers() / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("LG_USERNAME", "harness")
    made = request.param(tmp_path)
    yield made
    made.end()


def refusal(lab: Lab, seconds: float = 20.0) -> str:
    with pytest.raises(HarnessError) as caught:
        lab.power.off(deadline=Deadline.after(seconds))
    text = str(caught.value)
    assert "\n" not in text and "ib1" in text, text
    return text


def test_it_switches_and_says_so(lab: Lab) -> None:
    power = lab.power
    assert power.state(deadline=Deadline.after(20.0)) is PowerState.ON
    power.on(deadline=Deadline.after(60.0))
    assert lab.history == []
    power.off(deadline=Deadline.after(60.0))
    assert lab.history == ["off"]
    assert power.state(deadline=Deadline.after(20.0)) is PowerState.OFF
    power.on(deadline=Deadline.after(60.0))
    power.cycle(deadline=Deadline.after(90.0))
    assert lab.history == ["off", "on", "off", "on"]


def test_a_service_that_is_dead_is_one_line(lab: Lab) -> None:
    lab.signal(signal.SIGKILL)
    assert "onnect" in refusal(lab)
    assert lab.history == []


def test_a_service_that_is_slow_does_it(lab: Lab) -> None:
    (lab.folder / "pause").write_text("3")
    lab.power.off(deadline=Deadline.after(60.0))
    assert lab.history == ["off"]


def test_a_service_that_dies_in_the_middle_is_an_error(lab: Lab) -> None:
    (lab.folder / "pause").write_text("8")
    threading.Timer(6.0, lab.signal, (signal.SIGKILL,)).start()
    refusal(lab, 30.0)


def test_an_outlet_that_fails_says_so(lab: Lab) -> None:
    """pdudaemon 1.1 answers 200 to that as well: its state is what tells."""
    (lab.folder / "broken").touch()
    said = {"pdudaemon": "accepted power off, and its state is still on", "labgrid": "500 Server Error"}
    assert said[lab.name] in refusal(lab)
    assert lab.state.read_text().strip() == "on"


def test_a_service_that_is_frozen_keeps_the_deadline(lab: Lab) -> None:
    with lab.frozen():
        start = time.monotonic()
        refusal(lab, 8.0)
        assert time.monotonic() - start < 30.0
    lab.power.off(deadline=Deadline.after(60.0))


def test_an_outlet_that_it_has_not_is_one_line(lab: Lab) -> None:
    lab.spec = PowerSpec(
        driver=lab.spec.driver,
        address=lab.spec.address,
        outlet="pdu9/1" if "/" in lab.spec.outlet else "ib9",
        status=lab.spec.status,
    )
    refusal(lab)
    assert lab.history == []


@pytest.mark.parametrize("lab", [labgrid], indirect=True)
def test_a_place_of_somebody_else_is_left_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_USERNAME", "somebody")
    assert "acquired" in refusal(lab)
    assert lab.history == []


def test_a_request_that_was_accepted_and_not_done_is_an_error(lab: Lab) -> None:
    """The outlet says that it was switched, and was not."""
    (lab.folder / "switch").write_text("#!/bin/sh\n")
    with pytest.raises(InfraError, match="accepted power off, and its state is still on"):
        lab.power.off(deadline=Deadline.after(20.0))
