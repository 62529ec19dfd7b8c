"""Runs the tools that build images, kernels and modules: logged, followed line by line, never left behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.model.errors import HostEnvironmentError, InfraError

# The Debian package of each tool; also what `harness doctor` proposes to install.
PACKAGES = {
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "fakeroot": "fakeroot",
    "gcc": "gcc",
    "make": "make",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "patch": "patch",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "strip": "binutils",
    "tar": "tar",
    "xz": "xz-utils",
    "zstd": "zstd",
}

# mke2fs and depmod are in folders that an unprivileged user's PATH lacks.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])

# Seconds that a tool has to clean up after itself; mmdebstrap takes a few.
GRACE_S = 30

# A shell in a process group of its own. The kernel sends it SIGTERM when this process dies, even by kill -9, and it
# signals the whole group: mmdebstrap's first process ignores the signal and waits for its workers, which must get it.
_SUPERVISOR = """
trap 'trap "" TERM; kill -TERM 0; (sleep "$grace"; kill -KILL 0) & wait "$child"; kill -KILL 0' TERM
grace=$1; shift
"$@" & child=$!
wait "$child"
"""

LineWatcher = Callable[[str], None]


class CommandFailed(InfraError):
    """A tool ended with `status`; `last` is its last output and `log` the file with all of it."""

    def __init__(self, *, program: str, status: int, last: str, log: Path | None = None) -> None:
        self.program = program
        self.status = status
        self.last = last
        self.log = log
        super().__init__(f"{program} failed (status {status}): {last}")


def find_tool(program: str) -> str:
    """The path of `program`; raises HostEnvironmentError with the package that has it."""
    found = shutil.which(program, path=SEARCH_PATH)
    if found is None:
        package = PACKAGES.get(program, program)
        raise HostEnvironmentError(f"{program} is not installed", remedy=f"install it: apt-get install {package}")
    return found


def read_tool(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """The output of a short command; raises CommandFailed if its status is not 0."""
    done = subprocess.run(
        [find_tool(argv[0]), *argv[1:]],
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise _failure(argv[0], done.returncode, done.stderr.splitlines() or done.stdout.splitlines(), None)
    return done.stdout


def run_tool(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: LineWatcher | None = None,
) -> None:
    """Run `argv` to its end, with its output appended to `log` and each line passed to `on_line`.

    Raises CommandFailed on a status other than 0, OSError(ENOSPC) if it failed because of a full disk. The command and
    its children are terminated if this process dies or is interrupted.
    """
    supervisor = [find_tool("setpriv"), "--pdeathsig", "TERM", "sh", "-c", _SUPERVISOR, "sh", str(GRACE_S)]
    command = [*supervisor, find_tool(argv[0]), *argv[1:]]
    with log.open("a", encoding="utf-8", errors="replace") as sink:
        sink.write("+ " + " ".join(argv) + "\n")
        sink.flush()

        def take(line: str) -> None:
            sink.write(line + "\n")
            if on_line is not None:
                on_line(line)

        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        tail = _follow(process, take)
    if process.returncode != 0:
        raise _failure(argv[0], process.returncode, tail, log)


def _follow(process: subprocess.Popen[str], on_line: LineWatcher) -> list[str]:
    """Pass on each line of `process` until it ends; returns its last 40 lines."""
    tail: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip("\n"))
            tail = [*tail[-39:], line.rstrip("\n")]
        process.wait()
    finally:
        _end(process)
    return tail


def _end(process: subprocess.Popen[str]) -> None:
    """Terminate `process`, which is the supervisor, and its whole group, if it still runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=GRACE_S + 10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _failure(program: str, status: int, tail: Sequence[str], log: Path | None) -> Exception:
    if any("No space left on device" in line for line in tail):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), program)
    return CommandFailed(program=program, status=status, last=_telling(tail), log=log)


def _telling(tail: Sequence[str]) -> str:
    """The line of `tail` that best explains the failure: the first error, else the last line."""
    lines = [line.strip() for line in tail if line.strip()]
    for line in lines:
        if line.startswith("E: ") or " error: " in line or "FAILED" in line:
            return line
    return lines[-1] if lines else "it said nothing"


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": SEARCH_PATH, **(extra or {})}
