"""Power drivers: an action is done once the state says so; commands really run, ipmitool is a script that tells."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fakes import FakeClock

from harness.drivers.bmc import power_of
from harness.drivers.bmc.base import PowerDriver, same_machine
from harness.drivers.bmc.ipmi import IpmiPower, explain
from harness.drivers.commands import Output
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, HostEnvironmentError, InfraError
from harness.model.owned_host import PowerSpec, Secret
from harness.model.power import PowerState

SECRET = "pass-$word '\""
IPMITOOL = """\
#!/bin/sh
n=$(ls {0}/calls | wc -l)
python3 -c 'import json,os,sys; json.dump([sys.argv[1:], dict(os.environ)], open("{0}/calls/call.'$n'", "w"))' "$@"
cat {0}/err >&2
cat {0}/out
exit $(cat {0}/code)
"""
# What ipmitool 1.8.19 prints with -v, to standard error; those of 2.0.33's ipmi_sim were seen with it.
NOISE = (
    "Loading IANA PEN Registry...\nIANA PEN registry open failed: No such file or directory\n"
    "Running Get VSO Capabilities my_addr 0x20, transit 0, target 0x20\n"
    "Invalid completion code received: Invalid command\nDiscovered IPMB address 0x0\n"
)
SESSION = "Error: Unable to establish IPMI v2 / RMCP+ session\n"
SAID = {
    "> RAKP 2 HMAC is invalid\n" + SESSION: "refuses the user or password",
    "RAKP 2 message indicates an error : unauthorized name\n" + SESSION: "refuses the user or password",
    "Set Session Privilege Level to ADMINISTRATOR failed: Unknown\n" + SESSION: "refuses the user or password",
    "Error in open session response message : invalid authentication algorithm\n\n"
    + SESSION: "refuses cipher suite 3; name another, such as 3",
    "authentication algorithm 0x03 is not what we requested 0x01\n"
    + SESSION: "refuses cipher suite 3; name another, such as 3",
    "> no response from RAKP 1 message\n" + SESSION: "does not answer a login; perhaps it has no user admin",
    "Address lookup for nowhere failed\nCould not open socket!\n" + SESSION: "has an address that cannot be resolved",
    "lanplus: password is longer than 20 bytes.\n": "takes a password of at most 20 bytes",
    "Get Auth Capabilities error\nError issuing Get Channel Authentication Capabilities request\n"
    + SESSION: "does not answer",
    SESSION: "does not answer",
    "Info: SOL payload already active on another session\n": "has a console session of somebody else; end it there",
    "Info: SOL payload disabled\n": "has serial over LAN switched off; enable it there",
    "Set Chassis Power Control to Diag failed: Invalid data field in request\n": (
        "says: Set Chassis Power Control to Diag failed: Invalid data field in request"
    ),
    "": "says: exit code 1",
}


class Ipmitool:
    """A script of that name, in front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "calls").mkdir()
        program = folder / "ipmitool"
        program.write_text(IPMITOOL.format(folder))
        program.chmod(0o755)
        self.says()

    def says(self, out: str = "", err: str = "", code: int = 0) -> None:
        for name, text in (("out", out), ("err", err), ("code", str(code))):
            (self.folder / name).write_text(text)

    @property
    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        return [tuple(json.loads(path.read_text())) for path in sorted((self.folder / "calls").iterdir())]


@pytest.fixture
def ipmitool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ipmitool:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OF_BMC", SECRET)
    return Ipmitool(tmp_path)


SPEC = PowerSpec(
    driver="ipmi", address="bmc.example", port=6230, user="admin", password=Secret(kind="env", name="OF_BMC")
)


def soon() -> Deadline:
    return Deadline.after(20)


def test_the_password_is_in_the_environment_and_never_in_the_arguments(ipmitool: Ipmitool) -> None:
    power = IpmiPower(SPEC, "ib1")
    ipmitool.says("Chassis Power is on\n", NOISE)
    assert power.state(deadline=soon()) is PowerState.ON
    power.inject_nmi()
    power.identity(deadline=soon())
    assert len(ipmitool.calls) == 3
    for arguments, environment in ipmitool.calls:
        assert environment["IPMI_PASSWORD"] == SECRET
        assert "-E" in arguments and "-P" not in arguments
        assert not [word for word in arguments if SECRET in word]
    first = ipmitool.calls[0][0]
    assert first == [
        *("-I", "lanplus", "-C", "3", "-H", "bmc.example", "-p", "6230", "-U", "admin", "-E"),
        *("-v", "chassis", "power", "status"),
    ]
    assert ipmitool.calls[1][0][-3:] == ["chassis", "power", "diag"]
    assert "IPMI_PASSWORD" not in os.environ


@pytest.mark.parametrize(("said", "meaning"), SAID.items())
@pytest.mark.parametrize("noise", [NOISE, ""])
def test_each_message_of_ipmitool_becomes_one_line(ipmitool: Ipmitool, said: str, meaning: str, noise: str) -> None:
    ipmitool.says(err=noise + said, code=1)
    power = IpmiPower(SPEC, "ib1")
    with pytest.raises(InfraError) as caught:
        power.ask(soon())
    assert str(caught.value) == f"the BMC of ib1 at bmc.example {meaning}"
    assert power.state(deadline=soon()) is PowerState.UNKNOWN
    # On a terminal, both outputs are one.
    assert explain(SPEC, "ib1", Output(1, noise + said, "")) == str(caught.value)


def test_a_state_that_it_does_not_name_is_unknown(ipmitool: Ipmitool) -> None:
    for out in ("", "\n", "Chassis Power is \n", "Chassis Power is dim\n"):
        ipmitool.says(out)
        assert IpmiPower(SPEC, "ib1").ask(soon()) is PowerState.UNKNOWN


def test_its_uuid(ipmitool: Ipmitool) -> None:
    ipmitool.says(
        "System GUID   : b0a7ed00-0000-4000-8000-000000000003\n"
        "GUID Encoding : RFC4122 (WARNING: IPMI Specification violation!)\n"
    )
    assert IpmiPower(SPEC, "ib1").identity(deadline=soon()) == "b0a7ed00-0000-4000-8000-000000000003"
    ipmitool.says(err="Get GUID command failed: Invalid command\n", code=1)
    assert IpmiPower(SPEC, "ib1").identity(deadline=soon()) == ""


def test_a_bmc_that_hangs_does_not_answer(ipmitool: Ipmitool) -> None:
    (ipmitool.folder / "ipmitool").write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(InfraError, match=r"the BMC of ib1 at bmc\.example does not answer"):
        IpmiPower(SPEC, "ib1").ask(Deadline.after(0.3))


def test_without_ipmitool_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OF_BMC", SECRET)
    with pytest.raises(HostEnvironmentError, match="apt install ipmitool"):
        IpmiPower(SPEC, "ib1").ask(soon())


def test_the_same_machine_in_every_byte_order() -> None:
    one = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    swapped = uuid.UUID(bytes=one.bytes_le)
    backwards = uuid.UUID(bytes=one.bytes[::-1])
    both = uuid.UUID(bytes=swapped.bytes[::-1])
    for told in (one, swapped, backwards, both):
        assert same_machine(str(told), str(one)), told
        assert same_machine(str(told).upper(), one.hex), told
        assert same_machine(str(one), str(told)), told
    for other in ("00112233-4455-6677-8899-aabbccddeefe", "33221100-4455-6677-8899-aabbccddeeff", "", "unknown"):
        assert not same_machine(other, str(one))
        assert not same_machine(str(one), other)


class Stubborn(PowerDriver):
    """Takes every request, and obeys those in `obeys`."""

    source = "the stub"

    def __init__(self, *obeys: str, state: PowerState = PowerState.ON, answers: bool = True) -> None:
        super().__init__(PowerSpec(driver="stub"), "ib1")
        self.now, self.obeys, self.answers, self.requests = state, obeys, answers, list[str]()

    def ask(self, deadline: Deadline) -> PowerState:
        if not self.answers:
            raise InfraError("it does not answer")
        return self.now

    def act(self, action: str, deadline: Deadline) -> None:
        self.requests.append(action)
        if action in self.obeys:
            self.now = PowerState(action)


def test_an_accepted_request_whose_state_never_comes_is_an_error() -> None:
    clock = FakeClock()
    power = Stubborn("on")
    with pytest.raises(InfraError, match="the stub of ib1 accepted power off, and its state is still on"):
        power.off(deadline=Deadline.after(60, clock))
    assert 1060 <= clock.now < 1062
    with pytest.raises(InfraError, match="accepted power off"):
        power.cycle(deadline=Deadline.after(60, clock))
    assert power.requests == ["off", "off"]


def test_a_cycle_is_off_and_on_and_what_is_done_is_not_repeated() -> None:
    power = Stubborn("on", "off")
    power.cycle(deadline=Deadline.after(60, FakeClock()))
    power.on(deadline=Deadline.after(60, FakeClock()))
    assert power.requests == ["off", "on"]


def test_no_answer_is_an_error_for_an_action_and_unknown_for_a_question() -> None:
    power = Stubborn(answers=False)
    assert power.state(deadline=soon()) is PowerState.UNKNOWN
    with pytest.raises(InfraError, match="it does not answer"):
        power.off(deadline=soon())
    assert not power.requests


def commands(folder: Path, **changes: str) -> PowerSpec:
    """Commands of an outlet that is a file."""
    outlet = folder / "outlet"
    outlet.write_text("on")
    known = {"on": f"echo ON >{outlet}", "off": f"echo off >{outlet}", "status": f"cat {outlet}"}
    return PowerSpec(driver="command", **{**known, **changes})  # type: ignore[arg-type]


def test_power_by_commands(tmp_path: Path) -> None:
    power = power_of(commands(tmp_path), "ib1")
    power.off(deadline=soon())
    assert power.state(deadline=soon()) is PowerState.OFF
    power.cycle(deadline=soon())
    assert power.state(deadline=soon()) is PowerState.ON


def test_a_cycle_of_the_owners(tmp_path: Path) -> None:
    power = power_of(commands(tmp_path, cycle=f"echo cycled >>{tmp_path}/log", off="exit 1"), "ib1")
    power.cycle(deadline=soon())
    assert (tmp_path / "log").read_text() == "cycled\n"


@pytest.mark.parametrize("status", ["true", "echo perhaps", "echo", "printf '\\377'"])
def test_a_status_that_is_no_state_is_unknown(status: str, tmp_path: Path) -> None:
    assert power_of(commands(tmp_path, status=status), "ib1").state(deadline=soon()) is PowerState.UNKNOWN


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    power = power_of(commands(tmp_path, off="echo 'the breaker is locked' >&2; exit 1"), "ib1")
    with pytest.raises(InfraError, match=r"power of ib1: `.*` failed: the breaker is locked$"):
        power.off(deadline=soon())


class Pdudaemon(BaseHTTPRequestHandler):
    """Answers as pdudaemon does, and notes the requests."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()
        self.wfile.write(b"OK - accepted request\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pdudaemon() -> Iterator[ThreadingHTTPServer]:
    Pdudaemon.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pdudaemon)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pdu(server: ThreadingHTTPServer, outlet: str, status: str) -> PowerDriver:
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    return power_of(PowerSpec(driver="pdudaemon", address=address, outlet=outlet, status=status), "ib1")


def test_an_outlet_of_pdudaemon(pdudaemon: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("on")
    power = pdu(pdudaemon, "pdu1/7", f"cat {tmp_path}/state")
    power.act("off", soon())
    power.act("on", soon())
    assert Pdudaemon.seen == [f"/power/control/{action}?hostname=pdu1&port=7" for action in ("off", "on")]
    with pytest.raises(InfraError, match="accepted power off, and its state is still on"):
        power.off(deadline=Deadline.after(1))


def test_odd_words_of_an_outlet_stay_words(pdudaemon: ThreadingHTTPServer) -> None:
    pdu(pdudaemon, "a&b c/'7", "echo on").act("off", soon())
    assert Pdudaemon.seen == ["/power/control/off?hostname=a%26b+c&port=%277"]


def test_a_refusal_of_pdudaemon_is_an_error(pdudaemon: ThreadingHTTPServer) -> None:
    with pytest.raises(InfraError, match="500"):
        pdu(pdudaemon, "broken/7", "echo on").act("off", soon())


LABGRID = """\
#!/bin/sh
echo "$@" >>{0}/log
case "$*" in
*"power get") [ -e {0}/state ] || {{ echo "labgrid-client: error: place ib1 is not acquired" >&2; exit 1; }}
    echo "power for place ib1 is $(cat {0}/state)";;
*"power on") echo on >{0}/state;;
*"power off") echo off >{0}/state;;
esac
"""


def test_a_place_of_labgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labgrid-client").write_text(LABGRID.format(tmp_path))
    (tmp_path / "labgrid-client").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    power = power_of(PowerSpec(driver="labgrid", outlet="ib1", address="lab:20408"), "ib1")
    with pytest.raises(InfraError, match="place ib1 is not acquired"):
        power.off(deadline=soon())
    (tmp_path / "state").write_text("on\n")
    power.cycle(deadline=soon())
    assert power.state(deadline=soon()) is PowerState.ON
    assert (tmp_path / "log").read_text().splitlines()[-3] == "-x lab:20408 -p ib1 power on"


@pytest.mark.parametrize("driver", ["ipmi", "command"])
def test_nothing_is_contacted_before_it_is_asked(driver: str) -> None:
    power = power_of(PowerSpec(driver=driver, address="192.0.2.1", status="exit 1"), "ib1")
    assert power.source and power.period_s > 0
    with pytest.raises(HarnessError):
        power_of(PowerSpec(driver="command", status="exit 1"), "ib1").on(deadline=soon())


def test_a_power_command_that_does_not_end_names_its_host() -> None:
    spec = PowerSpec(driver="command", on="sleep 60", off="sleep 60", status="echo on")
    with pytest.raises(InfraError, match=r"^power of ib1: sleep 60 does not answer in time$"):
        power_of(spec, "ib1").off(deadline=Deadline.after(0.3))
