"""A kernel of the run on a host that somebody owns, by kexec: neither its boot loader nor its disks are changed.

`kexec_into` leaves the owner's kernel, `arrived` waits for the other one. A restart of the host by any means brings the
owner's kernel back. The crash kernel is left alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from harness.drivers.protocols import Completed, Shell
from harness.model.clock import Deadline
from harness.model.errors import BootError, LostHost, ShellError, UsageError
from harness.model.topology import MIB
from harness.physical.boot_facts import BootFacts
from harness.physical.cmdline import has_token
from harness.physical.kexec_boot import INSTALLED_IMAGES, INSTALLED_INITRDS, KexecBoot

FOLDER = "/run/harness-kexec"
VMLINUZ, INITRAMFS = f"{FOLDER}/vmlinuz", f"{FOLDER}/initramfs"
# Both files are in the host's memory twice: in our ramfs, and where kexec puts them.
SPARE = 64 * MIB
LOAD_S = 120.0  # kexec reads and checks some 50 MB
LEAVE_S = 20.0  # a host that goes down answers at once, or not at all
PROBE_S, PAUSE_S = 15.0, 2.0
NO_STATUS = -1  # of SSH: the connection ended before the command did, as when its session is stopped with the host
# In the background, so that this connection is not the one that waits for the end of the system.
_KEXEC_SYSTEMD = "systemctl --no-block kexec"
_KEXEC_BARE = (
    "(sleep 1; sync; echo s >/proc/sysrq-trigger; echo u >/proc/sysrq-trigger; sleep 2; {} -e) >/dev/null 2>&1 &"
)
_IDENTITY = "cat /proc/sys/kernel/random/boot_id && uname -r && cat /proc/cmdline"


def kexec_into(shell: Shell, boot: KexecBoot, facts: BootFacts, *, host: str, deadline: Deadline) -> None:
    """Load the kernel of the run on the host and jump into it; `refusal` must have been asked before.

    Raises UsageError if the host refuses the kernel, and it then is as it was; ShellError as `Shell` does.
    """
    check_memory(boot, facts, host)
    if boot.is_installed:
        image = _find(shell, INSTALLED_IMAGES, boot, host, deadline)
        initrd = _find(shell, INSTALLED_INITRDS, boot, host, deadline)
        _load(shell, image, initrd, boot, facts, host=host, deadline=deadline)
    else:
        with _memory_folder(shell, deadline):
            _put(shell, boot, deadline)
            _load(shell, VMLINUZ, INITRAMFS, boot, facts, host=host, deadline=deadline)
    leave = _KEXEC_SYSTEMD if facts.has_systemd else _KEXEC_BARE.format(shlex.quote(facts.kexec))
    _leave(shell, leave, facts, host, deadline)


def check_memory(boot: KexecBoot, facts: BootFacts, host: str) -> None:
    """Raise UsageError if the host has no room in its memory for the kernel."""
    if boot.vmlinuz is None or boot.initramfs is None:
        return
    need = 2 * (boot.vmlinuz.stat().st_size + boot.initramfs.stat().st_size) + SPARE
    if facts.memory_available < need:
        free = f"{facts.memory_available // MIB} MiB of its memory are available, and {need // MIB} are needed"
        raise UsageError(f"{host}: no room to load the kernel of the run: {free}; stop what runs there")


def arrived(
    shell: Shell,
    boot: KexecBoot,
    old_boot_id: str,
    *,
    host: str,
    deadline: Deadline,
    console_tail: Callable[[], str] = lambda: "",
) -> str:
    """Wait until the host answers from the kernel of the run; its boot id.

    Raises BootError with the console's last lines if another kernel came up, LostHost if the host stays silent: then it
    needs a power cycle.
    """
    problem = "no answer"
    while not deadline.passed:
        try:
            answer = shell.run(_IDENTITY, deadline=deadline.within(PROBE_S))
        except ShellError as error:
            problem = error.problem
        else:
            boot_id, release, cmdline = [*answer.stdout.splitlines(), "", "", ""][:3]
            if boot_id and boot_id != old_boot_id:
                _check_arrival(boot, release, cmdline, host, console_tail)
                return boot_id
            problem = f"still in kernel {release}"
        deadline.clock.sleep(min(PAUSE_S, deadline.remaining))
    raise LostHost(host=host, problem=f"kernel {boot.release} did not answer in time after kexec ({problem})")


def _check_arrival(boot: KexecBoot, release: str, cmdline: str, host: str, console_tail: Callable[[], str]) -> None:
    if not has_token(cmdline, boot.token):
        problem = f"kexec of {boot.release} failed: the host is back in its owner's kernel {release}"
    elif release != boot.release:
        problem = f"after kexec the host runs kernel {release} in place of {boot.release}"
    else:
        return
    raise BootError(host=host, problem=problem, console_tail=console_tail())


@contextmanager
def _memory_folder(shell: Shell, deadline: Deadline) -> Iterator[None]:
    """A folder in the host's memory, for as long as kexec reads from it."""
    remove = f"umount {FOLDER}; rmdir {FOLDER}"
    # What an earlier attempt left behind would take the memory twice.
    shell.run(
        f"if mountpoint -q {FOLDER}; then umount {FOLDER}; fi; mkdir -p {FOLDER} && "
        f"mount -t ramfs -o mode=0700 harness-kexec {FOLDER}",
        deadline=deadline,
    )
    try:
        yield
    finally:
        with suppress(ShellError):
            shell.run(remove, deadline=deadline.within(LEAVE_S), check=False)


def _put(shell: Shell, boot: KexecBoot, deadline: Deadline) -> None:
    assert boot.vmlinuz is not None
    shell.put(boot.vmlinuz, VMLINUZ, deadline=deadline, mode=0o600)
    shell.put(boot.initramfs_bytes(), INITRAMFS, deadline=deadline, mode=0o600)


def _find(shell: Shell, places: tuple[str, ...], boot: KexecBoot, host: str, deadline: Deadline) -> str:
    """The first of `places` that exists on the host for an installed kernel."""
    paths = " ".join(shlex.quote(place.format(boot.release)) for place in places)
    found = shell.run(f"ls -d {paths} 2>/dev/null | head -n 1", deadline=deadline).stdout.strip()
    if not found:
        known = shell.run("ls /boot", deadline=deadline).stdout.split()
        releases = ", ".join(name.removeprefix("vmlinuz-") for name in known if name.startswith("vmlinuz-"))
        problem = f"it has none of {', '.join(place.format(boot.release) for place in places)}"
        raise UsageError(
            f"{host}: no installed kernel {boot.release}: {problem}; in its /boot are: {releases or 'none'}"
        )
    return found


def _load(
    shell: Shell, image: str, initrd: str, boot: KexecBoot, facts: BootFacts, *, host: str, deadline: Deadline
) -> None:
    """Load a kernel, as a file that the running kernel checks itself where a lockdown demands that."""
    locked = facts.lockdown not in ("", "none")
    command = f"%s {'-s' if locked else '-c'} -l %s --initrd=%s --command-line=%s"
    arguments = (facts.kexec, image, initrd, boot.cmdline)
    done = shell.run(command, *arguments, deadline=deadline.within(LOAD_S), check=False)
    if done.exit_code != 0:
        raise UsageError(f"{host}: {_why_refused(done, facts, locked)}")


def _why_refused(done: Completed, facts: BootFacts, locked: bool) -> str:
    last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
    if locked:
        hint = 'boot a signed kernel, turn secure boot off, or use kernel = "owner"'
        return f"kexec is refused under lockdown ({facts.lockdown}) for a kernel that it does not trust: {last}; {hint}"
    return f'kexec -l failed: {last}; use kernel = "owner" if the host cannot do it'


def _leave(shell: Shell, command: str, facts: BootFacts, host: str, deadline: Deadline) -> None:
    """Start the jump; the connection may break at once. A host that will not go is unloaded again."""
    try:
        done = shell.run(command, deadline=deadline.within(LEAVE_S), check=False)
    except ShellError:
        return
    if done.exit_code in (0, NO_STATUS):
        return
    with suppress(ShellError):
        shell.run("%s -u", facts.kexec, deadline=deadline.within(LEAVE_S), check=False)
    last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
    raise ShellError(host=host, command=command, problem=f"exit code {done.exit_code}", output=last)
