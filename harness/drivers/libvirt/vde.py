"""A network segment between guests: a VDE switch over unix sockets, unprivileged, without an address on the host."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError

START_S = 10.0


class VdeSwitch:
    """A `vde_switch` process that lives in `folder`; its command line carries the folder, so that it can be found."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("vde_switch")
        if program is None:
            raise HostEnvironmentError("vde_switch is not installed", remedy="apt-get install vde2")
        self.folder = folder
        # Its stdin is a pipe of ours: it ends at once if stdin is closed, and reads commands if that is a terminal.
        self._process = subprocess.Popen(
            [program, "--sock", str(folder), "--mode", "600", "--dirmode", "0700"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_for(folder / "ctl")

    @property
    def socket(self) -> Path:
        """See `Switch.socket`."""
        return self.folder

    def _wait_for(self, control: Path) -> None:
        deadline = Deadline.after(START_S)
        while not control.exists():
            if self._process.poll() is not None or deadline.passed:
                self.close()
                raise InfraError(f"vde_switch did not start in {self.folder}")
            deadline.clock.sleep(0.01)

    def close(self) -> None:
        """See `Switch.close`."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=5.0)
