"""A pytest session in a child process that does not outlive this one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.artifacts.run_tool import find_tool
from harness.plugin.invoke import PLUGIN
from harness.results.files import disk_errors

GRACE_S = 120.0  # for an interrupted session: its guests are ended, its report is written


def run_child(arguments: Sequence[str], *, log: Path) -> int:
    """Run pytest with `arguments`, its output appended to `log`; pytest's exit status, or minus a signal's number.

    Ctrl-C ends it as it would a session of this process, and is then raised. If this process dies for any reason, the
    kernel sends the child SIGINT.
    """
    # A shell starts background processes with SIGINT ignored, and children inherit that.
    argv = [find_tool("setpriv"), "--pdeathsig", "INT", find_tool("env"), "--default-signal=INT"]
    command = [*argv, sys.executable, "-m", "pytest", *PLUGIN, *arguments]
    with disk_errors(log), log.open("ab") as output:
        # In its own session, so that Ctrl-C reaches it only once, from here.
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        raise
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
