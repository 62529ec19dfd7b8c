"""The chassis of a double: what its BMC does to it. Standard library only; the BMCs run outside of the project."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.testbed.places import AGENT_PORT, CONSOLE_PORT, ECHO_PORT, SSH_PORT, Double, double, folder, switch_folder

CPUS = 2
PEER = {1: 2, 2: 1}  # whose data card is whose


class Chassis:
    """Power, reset and NMI of one double, over the process and the monitor of its QEMU."""

    def __init__(self, double: Double) -> None:
        self.double = double
        self._pid = double.home / "pid"

    @property
    def pid(self) -> int | None:
        """The process of its QEMU; None while the power is off. A pid that another process has now is not taken."""
        try:
            pid = int(self._pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"owned-{self.double.name}\0".encode() in command else None

    def on(self) -> None:
        """Power on, unless it is on."""
        if self.pid is not None:
            return
        own = folder() / "net" / self.double.name
        own.parent.mkdir(exist_ok=True)
        own.unlink(missing_ok=True)  # QEMU does not replace its own socket
        # Detached, and without the BMC's sockets: those would keep its port when it is restarted.
        with (self.double.home / "qemu.log").open("ab") as log:
            subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 10
        while self.pid is None and time.monotonic() < end:
            time.sleep(0.05)

    def off(self) -> None:
        """Power off at once."""
        if (pid := self.pid) is None:
            return
        os.kill(pid, signal.SIGKILL)
        while self.pid is not None:
            time.sleep(0.02)
        self._pid.unlink(missing_ok=True)

    def cycle(self) -> None:
        """Off and on."""
        self.off()
        time.sleep(0.3)
        self.on()

    def reset(self) -> None:
        """The reset button."""
        self.monitor("system_reset")

    def shutdown(self) -> None:
        """The power button: an ACPI event."""
        self.monitor("system_powerdown")

    def nmi(self) -> None:
        """A non-maskable interrupt."""
        self.monitor("inject-nmi")

    def monitor(self, command: str, **arguments: object) -> None:
        """One command of QEMU's monitor; raises OSError if it does not answer, or refuses it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.double.home / "qmp"))
            file = connection.makefile("rw")
            file.readline()
            for name, given in (("qmp_capabilities", {}), (command, arguments)):
                file.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                file.flush()
                while "event" in (answer := json.loads(file.readline())):
                    pass
                if "error" in answer:
                    raise OSError(f"{name}: {answer['error']['desc']}")

    def _command(self) -> list[str]:
        double = self.double
        number, home, bmc = double.number, double.home, double.bmc_address
        forward = ",".join(
            f"hostfwd=tcp:{double.address}:{port}-:{inner}" for port, inner in ((SSH_PORT, 22), (ECHO_PORT, 7077))
        )
        command = [
            *("nice", "-n", "5", "qemu-system-x86_64", "-name", f"owned-{double.name}", "-uuid", double.uuid),
            *(
                "-machine",
                "q35,usb=off",
                "-cpu",
                "max",
                "-accel",
                accelerator(),
                "-smp",
                str(CPUS),
                "-m",
                str(double.memory_mib),
            ),
            *("-display", "none", "-nodefaults", "-no-user-config", "-pidfile", str(self._pid)),
            *("-drive", f"if=none,id=root,file={home}/disk.raw,format=raw,cache=unsafe,discard=unmap"),
            *("-device", "virtio-blk-pci,drive=root,serial=owner-root"),
            *("-drive", f"if=none,id=scratch,file={home}/scratch.raw,format=raw,cache=unsafe"),
            *("-device", f"virtio-blk-pci,drive=scratch,serial={double.scratch_serial}"),
            *("-netdev", f"user,id=lan,{forward}"),
            *("-device", "virtio-net-pci,netdev=lan,mac=52:54:00:aa:00:01,romfile="),
            *("-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"),
            *(
                "-chardev",
                f"socket,id=con,host={bmc},port={CONSOLE_PORT},telnet=on,server=on,wait=off,logfile={home}/uart.log,logappend=on",
            ),
            *("-serial", "chardev:con"),
            *(
                "-chardev",
                f"socket,id=agent,host={bmc},port={AGENT_PORT},server=on,wait=off",
                "-serial",
                "chardev:agent",
            ),
            *("-qmp", f"unix:{home}/qmp,server=on,wait=off"),
        ]
        if number in PEER:
            net = folder() / "net"
            local, remote = net / double.name, net / f"m{PEER[number]}"
            card = f"dgram,id=data,local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"
        else:
            card = f"vde,id=data,sock={switch_folder()}"
        command += ["-netdev", card, "-device", f"virtio-net-pci,netdev=data,mac=52:54:00:bb:00:0{number},romfile="]
        return command


def accelerator() -> str:
    """HARNESS_TESTBED_ACCEL (`kvm` where that works), else emulation with less memory for it than QEMU takes."""
    return os.environ.get("HARNESS_TESTBED_ACCEL", "tcg,thread=multi,tb-size=128")


def main() -> int:
    """What ipmi_sim calls: `get power` and the like, or `set NAME VALUE`."""
    name, verb, *words = sys.argv[1:]
    chassis = Chassis(double(name))
    if verb == "get":
        answers = {"power": f"power:{int(chassis.pid is not None)}", "boot": "boot:default"}
        print("\n".join(answers[word] for word in words if word in answers))
        return 0
    acts = {
        ("power", "1"): chassis.on,
        ("power", "0"): chassis.off,
        ("reset", "1"): chassis.reset,
        ("shutdown", "1"): chassis.shutdown,
    }
    for what, value in zip(words[::2], words[1::2], strict=False):
        acts.get((what, value), lambda: None)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
