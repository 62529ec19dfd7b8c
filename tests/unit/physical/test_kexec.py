"""The way into a kernel of the run, and the wait for it, against a host that is a fake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from boots import FACTS, facts
from fakes import FakeClock, FakeShell

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import BootError, DeadlineExceeded, LostHost, ShellError, UsageError
from harness.physical.kexec import FOLDER, arrived, kexec_into
from harness.physical.kexec_boot import KexecBoot, installed_boot

CMDLINE = "root=/dev/sda1 harness.run=t1"


@pytest.fixture
def boot(tmp_path: Path) -> KexecBoot:
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "initrd").write_bytes(b"archive")
    return KexecBoot(
        release="6.12",
        cmdline=CMDLINE,
        token="t1",
        leash_s=60,
        vmlinuz=tmp_path / "vmlinuz",
        initramfs=tmp_path / "initrd",
        conf="uuid=x\n",
    )


def deadline(seconds: float = 100.0) -> Deadline:
    return Deadline.after(seconds, FakeClock())


def place(commands: list[str], piece: str) -> int:
    return next(number for number, command in enumerate(commands) if piece in command)


def test_the_files_are_in_memory_only_while_they_are_loaded(boot: KexecBoot) -> None:
    shell = FakeShell()
    kexec_into(shell, boot, FACTS, host="ib1", deadline=deadline())
    steps = [place(shell.commands, piece) for piece in ("mount -t ramfs", "kexec -c -l", "; rmdir", "systemctl")]
    assert steps == sorted(steps)
    assert shell.files[f"{FOLDER}/vmlinuz"] == b"kernel"
    assert shell.files[f"{FOLDER}/initramfs"].startswith(b"archive")
    assert b"uuid=x\n" in shell.files[f"{FOLDER}/initramfs"]
    assert all(path.startswith("/run/") for path in shell.files)


def test_a_lockdown_has_the_kernel_check_the_file(boot: KexecBoot) -> None:
    shell = FakeShell()
    shell.answer("kexec -s -l", "Operation not permitted", exit_code=1)
    with pytest.raises(UsageError, match=r"ib1: kexec is refused under lockdown \(integrity\).*not permitted; boot a"):
        kexec_into(shell, boot, facts(lockdown="integrity"), host="ib1", deadline=deadline())
    assert "rmdir" in shell.commands[-1]  # nothing is left, and nothing was started


def test_a_host_without_room_is_left_alone(boot: KexecBoot) -> None:
    shell = FakeShell()
    with pytest.raises(UsageError, match="0 MiB of its memory are available, and 64 are needed"):
        kexec_into(shell, boot, facts(memory_available=1000), host="ib1", deadline=deadline())
    assert not shell.commands


def test_a_host_that_does_not_go_down_is_unloaded(boot: KexecBoot) -> None:
    shell = FakeShell()
    shell.answer("systemctl", "no", exit_code=1)
    with pytest.raises(ShellError, match="no"):
        kexec_into(shell, boot, FACTS, host="ib1", deadline=deadline())
    assert shell.commands[-1].endswith("kexec -u")


def test_a_connection_that_breaks_is_how_a_host_leaves(boot: KexecBoot) -> None:
    shell = FakeShell()
    shell.replies["kexec -e"] = DeadlineExceeded(host="ib1", command="kexec -e", problem="no answer in time")
    kexec_into(shell, boot, facts(has_systemd=False), host="ib1", deadline=deadline())


def test_a_session_that_is_stopped_before_its_command_has_ended_is_how_a_host_leaves_too(boot: KexecBoot) -> None:
    shell = FakeShell()
    shell.answer("systemctl", exit_code=-1)
    kexec_into(shell, boot, FACTS, host="ib1", deadline=deadline())
    assert not shell.commands[-1].endswith("kexec -u")


def test_an_installed_kernel_takes_the_owners_initramfs() -> None:
    shell = FakeShell()
    shell.answer("vmlinuz-6.9", "/boot/vmlinuz-6.9\n")
    shell.answer("initrd.img-6.9", "/boot/initrd.img-6.9\n")
    boot = installed_boot("6.9", FACTS, token="t1")
    kexec_into(shell, boot, FACTS, host="ib1", deadline=deadline())
    (load,) = (command for command in shell.commands if " -l " in command)
    assert "-l /boot/vmlinuz-6.9 --initrd=/boot/initrd.img-6.9 " in load
    assert boot.leash_s == 0
    assert not shell.files


def test_an_installed_kernel_that_is_not_there() -> None:
    shell = FakeShell()
    shell.answer("ls /boot", "vmlinuz-6.1\nvmlinuz-6.12\nconfig-6.1\n")
    with pytest.raises(UsageError, match=r"no installed kernel 6\.9: .*; in its /boot are: 6\.1, 6\.12"):
        kexec_into(shell, installed_boot("6.9", FACTS, token="t1"), FACTS, host="ib1", deadline=deadline())


@dataclass
class Waking(FakeShell):
    """Answers with one of `answers` after the other, then with the last."""

    answers: list[str | Exception] = field(default_factory=list)

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Completed(command=command, exit_code=0, stdout=answer, stderr="")


SILENT = DeadlineExceeded(host="ib1", command="cat", problem="no answer in time")


def test_a_host_arrives_after_it_was_seen_in_the_old_kernel_and_was_silent(boot: KexecBoot) -> None:
    shell = Waking(answers=[f"old\n6.1\n{CMDLINE}\n", SILENT, f"new\n6.12\n{CMDLINE}\n"])
    assert arrived(shell, boot, "old", host="ib1", deadline=deadline()) == "new"


def test_the_owners_kernel_in_place_of_ours_comes_with_the_console(boot: KexecBoot) -> None:
    shell = Waking(answers=[SILENT, "new\n6.1\nroot=/dev/sda1\n"])
    with pytest.raises(BootError, match=r"back in its owner's kernel 6\.1; last console lines:\nPanic"):
        arrived(shell, boot, "old", host="ib1", deadline=deadline(), console_tail=lambda: "Panic")


def test_another_release_under_our_token_is_no_arrival(boot: KexecBoot) -> None:
    shell = Waking(answers=[f"new\n6.12.1\n{CMDLINE}\n"])
    with pytest.raises(BootError, match=r"runs kernel 6\.12\.1 in place of 6\.12"):
        arrived(shell, boot, "old", host="ib1", deadline=deadline())


def test_silence_is_for_the_power_control(boot: KexecBoot) -> None:
    with pytest.raises(LostHost, match=r"kernel 6\.12 did not answer in time after kexec \(no answer in time\)"):
        arrived(Waking(answers=[SILENT]), boot, "old", host="ib1", deadline=deadline())


def test_a_host_that_never_left_is_told_from_a_silent_one(boot: KexecBoot) -> None:
    shell = Waking(answers=[f"old\n6.1\n{CMDLINE}\n"])
    with pytest.raises(LostHost, match=r"still in kernel 6\.1"):
        arrived(shell, boot, "old", host="ib1", deadline=deadline())


def test_the_token_decides_and_not_the_release(boot: KexecBoot) -> None:
    shell = Waking(answers=["new\n6.12\nroot=/dev/sda1 harness.run=t0\n"])
    with pytest.raises(BootError, match="owner's kernel"):
        arrived(shell, replace(boot, release="6.12"), "old", host="ib1", deadline=deadline())
