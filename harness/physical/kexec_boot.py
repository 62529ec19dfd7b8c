"""What a host that somebody owns boots for a run: a kernel of ours with an initramfs of ours, or one that the owner
installed with the owner's own initramfs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.artifacts.cpio import make_cpio
from harness.kernels.host_initrd import build_host_initrd
from harness.kernels.host_modules import Wanted
from harness.kernels.kernels import Kernel
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.physical.boot_facts import BootFacts
from harness.physical.cmdline import cmdline_of, value_of, words_of

INSTALLED = "installed:"  # `kernel` of a host that boots one of its owner's: installed:RELEASE
# Where the boot images of installed kernels are, and their initramfs: Debian, Fedora and SUSE.
INSTALLED_IMAGES = ("/boot/vmlinuz-{}", "/boot/bzImage-{}", "/usr/lib/modules/{}/vmlinuz")
INSTALLED_INITRDS = ("/boot/initrd.img-{}", "/boot/initramfs-{}.img", "/boot/initrd-{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecBoot:
    """A kernel of the run `token` for one host; `cmdline` is complete.

    `vmlinuz` and `initramfs` are files of this machine, and `conf` what the host's init reads. Without them, an
    installed kernel of the owner's is meant, found by its `release`; that one has no leash (`leash_s` is 0).
    `own_modules`: name → file of a module to store on the host, which only a fault loads.
    """

    release: str
    cmdline: str
    token: str
    leash_s: int = 0
    vmlinuz: Path | None = None
    initramfs: Path | None = None
    conf: str = ""
    own_modules: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        """Whether it is a kernel that the owner installed."""
        return self.vmlinuz is None

    def initramfs_bytes(self) -> bytes:
        """The initramfs, with the configuration of this host behind it."""
        assert self.initramfs is not None
        return self.initramfs.read_bytes() + make_cpio({"harness.conf": self.conf.encode()})


def make_boot(
    settings: Settings,
    kernel: Kernel,
    modules: Mapping[str, Path],
    own_modules: Mapping[str, Path],
    facts: BootFacts,
    progress: Progress,
    *,
    token: str,
    leash_s: int,
    cmdline: str = "",
    modules_from: str = "",
) -> KexecBoot:
    """Make what a host boots from of `kernel`, on this machine; call `refusal` first.

    `modules` and `own_modules` are those of `harness.guests.boot_spec.Machine`, `cmdline` the words of the inventory.
    The host restarts unless /run/harness/leash is there `leash_s` seconds after the kernel's start; 0: it does not.
    Raises as `build_host_initrd` does.
    """
    initramfs = build_host_initrd(
        settings,
        kernel,
        wanted_of(facts),
        modules,
        facts.compressions,
        progress,
        modules_from=modules_from,
    )
    return KexecBoot(
        release=kernel.release,
        cmdline=cmdline_of(facts.cmdline, cmdline, token),
        token=token,
        leash_s=leash_s,
        vmlinuz=kernel.vmlinuz,
        initramfs=initramfs,
        conf=conf_of(facts, leash_s),
        own_modules=own_modules,
    )


def installed_boot(release: str, facts: BootFacts, *, token: str, cmdline: str = "") -> KexecBoot:
    """What a host boots from for `kernel = "installed:RELEASE"`; it has no leash, since its init is the owner's."""
    return KexecBoot(release=release, cmdline=cmdline_of(facts.cmdline, cmdline, token), token=token)


def wanted_of(facts: BootFacts) -> Wanted:
    """The modules that a host needs: those of its owner's kernel, and drivers of its devices."""
    return Wanted(
        names=facts.loaded,
        modaliases=facts.modaliases,
        early_names=facts.root.drivers,
        early_modaliases=facts.root.modaliases,
        fstype=facts.root.fstype,
    )


def conf_of(facts: BootFacts, leash_s: int) -> str:
    """The text of /harness.conf; vm-images/host-init.c explains."""
    values = {
        "uuid": facts.root.uuid,
        "fstype": facts.root.fstype,
        "options": value_of(facts.cmdline, "rootflags"),
        "rw": int("rw" in words_of(facts.cmdline) and "ro" not in words_of(facts.cmdline)),
        "modules": facts.modules_dir,
        "init": value_of(facts.cmdline, "init") or "/sbin/init",
        "leash_s": leash_s,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
