"""A BMC that speaks Redfish over TLS: sushy-tools' emulator in front of a chassis. `bmc_redfish.py CONFIG`."""

from __future__ import annotations

import signal
import sys
from typing import Any

from sushy_tools import error  # type: ignore[import-not-found, unused-ignore]
from sushy_tools.emulator import main  # type: ignore[import-not-found, unused-ignore]
from sushy_tools.emulator.resources.systems import fakedriver  # type: ignore[import-not-found, unused-ignore]

from tests.testbed.chassis import Chassis
from tests.testbed.places import double

ACTIONS = {
    "On": "on",
    "ForceOn": "on",
    "ForceOff": "off",
    "ForceRestart": "reset",
    "GracefulShutdown": "shutdown",
    "Nmi": "nmi",
}


class Driver(fakedriver.FakeDriver):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """Systems that are doubles."""

    def _chassis(self, identity: str) -> Chassis:
        return Chassis(double(self._get(identity)["name"]))

    def get_power_state(self, identity: str) -> str:
        return "Off" if self._chassis(identity).pid is None else "On"

    def set_power_state(self, identity: str, state: Any) -> None:
        if state not in ACTIONS:
            raise error.BadRequest(f"unknown ResetType {state}")
        getattr(self._chassis(identity), ACTIONS[state])()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies of QEMU
    fakedriver.FakeDriver = Driver
    sys.exit(main.main())
