"""The servers in front of the doubles, as processes that are found again and ended by what was noted of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.image import python_servers, run, server_root
from tests.testbed.places import (
    BMC_PASSWORD,
    BMC_PORT,
    BMC_USER,
    CONSERVER_ADDRESS,
    CONSERVER_PORT,
    CONSOLE_PORT,
    DOUBLES,
    REDFISH_PORT,
    Double,
    folder,
    switch_folder,
)

ROOT = Path(__file__).resolve().parents[2]
CONSERVER = """\
config * {{ defaultaccess allowed; sslrequired no; }}
default * {{ master localhost; rw *; logfile {home}/&.log; options ondemand; }}
break 1 {{ string "\\z"; }}
access * {{ trusted {address}; allowed {address}; }}
"""
CONSOLE = "console {name} {{ type host; host {host}; port {port}; protocol telnet; }}\n"

# Python closes what it inherits before it starts QEMU, which would keep the port of a simulator that is restarted.
CHASSIS = """\
#!/bin/sh
cd {root} && shift && exec {python} -m tests.testbed.chassis {name} "$@"
"""
LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{chassis} 0x20"
  sol "telnet:{address}:{console}" 115200 history=65536
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


@dataclass(frozen=True)
class Server:
    """A process of the test bed; `name` is that of its note."""

    name: str

    @property
    def _note(self) -> Path:
        return folder() / "servers" / f"{self.name}.json"

    @property
    def pid(self) -> int | None:
        """Its process; None if it does not run. A pid that another process has now is not taken."""
        try:
            note = json.loads(self._note.read_text())
            pid = int(note["pid"])
        except (OSError, ValueError, KeyError):
            return None
        return pid if started(pid) == note["started"] else None

    def start(self, command: list[str], environment: Mapping[str, str] = {}) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        self._note.parent.mkdir(parents=True, exist_ok=True)
        with self._note.with_suffix(".log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,
            )
        self._note.write_text(json.dumps({"pid": process.pid, "started": started(process.pid)}))

    def stop(self) -> bool:
        """End it; returns whether it ran."""
        pid = self.pid
        if pid is None:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.pid is not None:
                os.kill(pid, number)
            end = time.monotonic() + 3
            while self.pid is not None and time.monotonic() < end:
                time.sleep(0.05)
        self._note.unlink(missing_ok=True)
        return True

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP to make it slow."""
        if (pid := self.pid) is not None:
            os.kill(pid, number)


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" if there is none, or only what is left of one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def bmc_of(double: Double) -> Server:
    """The BMC of a double."""
    return Server(f"bmc-{double.name}")


def start_bmc(double: Double) -> None:
    """Start the BMC of a double, unless it runs."""
    if double.bmc == "ipmi":
        config, commands = ipmi_config(double)
        # With the libraries of its own root, which is neither installed nor mounted anywhere.
        argv = [*in_root("usr/bin/ipmi_sim"), "-n", "-c", str(config), "-f", str(commands), "-s", str(double.home)]
    else:
        argv = [str(python_servers() / "bin/python"), "-m", "tests.testbed.bmc_redfish", "--config"]
        argv.append(str(redfish_config(double)))
    bmc_of(double).start(argv)


def in_root(program: str) -> list[str]:
    """The beginning of a command that runs a program of the servers' root, such as `usr/bin/ipmitool`."""
    root = server_root()
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
    return [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{root}/{program}"]


def ipmi_config(double: Double) -> tuple[Path, Path]:
    """The configuration of its IPMI simulator, and the commands that it begins with."""
    home = double.home
    chassis = home / "chassis"
    chassis.write_text(CHASSIS.format(python=sys.executable, root=ROOT, name=double.name))
    chassis.chmod(0o755)
    config, commands = home / "lan.conf", home / "cmd.emu"
    guid = double.uuid.replace("-", "")
    values = {"name": double.name, "address": double.bmc_address, "port": BMC_PORT, "guid": guid, "chassis": chassis}
    config.write_text(LAN.format(user=BMC_USER, password=BMC_PASSWORD, console=CONSOLE_PORT, **values))
    commands.write_text(COMMANDS)
    return config, commands


def start_switch() -> None:
    """Start the switch of m3 and m4, unless it runs. It would end with its input, so that is a pipe without an end."""
    switch_folder().parent.mkdir(exist_ok=True)
    pipe = switch_folder().with_suffix(".stdin")
    if not pipe.exists():
        os.mkfifo(pipe, 0o600)
    switch().start(["sh", "-c", 'exec vde_switch -s "$0" -m 600 <>"$1"', str(switch_folder()), str(pipe)])


def switch() -> Server:
    """The switch of m3 and m4."""
    return Server("switch")


def start_conserver() -> None:
    """Start conserver, unless it runs. It takes a console only while somebody reads it there: QEMU has one reader."""
    home = folder() / "conserver"
    home.mkdir(exist_ok=True)
    (home / "passwd").write_text("*any*:*any*\n")
    consoles = "".join(CONSOLE.format(name=one.name, host=one.bmc_address, port=CONSOLE_PORT) for one in by_telnet())
    (home / "conserver.cf").write_text(CONSERVER.format(home=home, address=CONSERVER_ADDRESS) + consoles)
    command = [*in_root("usr/sbin/conserver"), "-C", str(home / "conserver.cf"), "-P", str(home / "passwd")]
    conserver().start([*command, "-M", CONSERVER_ADDRESS, "-p", str(CONSERVER_PORT), "-L", str(home / "conserver.log")])


def conserver() -> Server:
    """The console server of all doubles whose consoles their BMCs do not hold."""
    return Server("conserver")


def by_telnet() -> list[Double]:
    """The doubles whose consoles are behind a TCP port."""
    return [one for one in DOUBLES if one.bmc != "ipmi"]


def certificate(double: Double) -> Path:
    """The certificate of its Redfish service, signed by nobody but itself; its private key is beside it."""
    path = double.home / "redfish.pem"
    if not path.exists():
        run(
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                f"/CN={double.name}-bmc",
            ),
            *(
                "-addext",
                f"subjectAltName=IP:{double.bmc_address}",
                "-keyout",
                double.home / "redfish.key",
                "-out",
                path,
            ),
            stderr=subprocess.DEVNULL,
        )
    return path


def redfish_config(double: Double) -> Path:
    """The configuration of its Redfish service."""
    passwords = double.home / "htpasswd"
    hashed = subprocess.run(
        [
            python_servers() / "bin/python",
            "-c",
            "import bcrypt,sys;print(bcrypt.hashpw(sys.argv[1].encode(),bcrypt.gensalt(4)).decode())",
            BMC_PASSWORD,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    passwords.write_text(f"{BMC_USER}:{hashed}\n")
    values = {
        "LISTEN_IP": double.bmc_address,
        "LISTEN_PORT": REDFISH_PORT,
        "SSL_CERT": str(certificate(double)),
        "SSL_KEY": str(double.home / "redfish.key"),
        "AUTH_FILE": str(passwords),
        "STATE_DIR": str(double.home / "redfish-state"),
        "FAKE_DRIVER": True,
        "FEATURE_SET": "full",
        "FAKE_SYSTEMS": [{"uuid": double.uuid, "name": double.name, "power_state": "Off", "nics": []}],
    }
    (double.home / "redfish-state").mkdir(exist_ok=True)
    config = double.home / "redfish.conf"
    config.write_text("".join(f"SUSHY_EMULATOR_{name} = {value!r}\n" for name, value in values.items()))
    return config
