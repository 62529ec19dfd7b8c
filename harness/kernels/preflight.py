"""Checks that a kernel has what its guests and their cases need, before any of them boots.

The checks read the modules that guests get, the list of built-in modules and the kernel's configuration. Needs that
none of these answers do not count against the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.kernels.kernels import Kernel
from harness.kernels.module_set import all_modules, built_in, module_name, plain, read_dependencies
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.storage_protocols import PROTOCOLS

# Needs of the harness itself in every guest's kernel, and their purpose.
EVERY_GUEST: Mapping[str, str] = {
    "virtio_pci": "devices of the guest",
    "virtio_blk": "its disks",
    "virtio_net": "its network",
    "ext4": "its root file system",
    "CONFIG_BLK_DEV_INITRD": "its initramfs",
    "CONFIG_DEVTMPFS": "its /dev",
    "CONFIG_TMPFS": "its /run",
    "CONFIG_PROC_FS": "its /proc",
    "CONFIG_SYSFS": "its /sys",
    "CONFIG_CGROUPS": "its /sys/fs/cgroup",
    "CONFIG_UNIX98_PTYS": "its /dev/pts",
    "CONFIG_INET": "SSH",
    "CONFIG_UNIX": "SSH",
    "CONFIG_BINFMT_SCRIPT": "its boot script",
    "CONFIG_SERIAL_8250_CONSOLE": "serial console",
    "CONFIG_DETECT_HUNG_TASK": "hung-task detector",
    "CONFIG_MAGIC_SYSRQ": "sysrq, for evidence",
}
# The option that makes each module.
SYMBOLS: Mapping[str, str] = {
    "dm_delay": "DM_DELAY",
    "dm_mod": "BLK_DEV_DM",
    "ext4": "EXT4_FS",
    "inet_diag": "INET_DIAG",
    "loop": "BLK_DEV_LOOP",
    "tcp_diag": "INET_TCP_DIAG",
    "veth": "VETH",
    "virtio_blk": "VIRTIO_BLK",
    "virtio_net": "VIRTIO_NET",
    "virtio_pci": "VIRTIO_PCI",
    **{module: symbol for protocol in PROTOCOLS for module, symbol in protocol.symbols.items()},
}
_CONFIG = "CONFIG_"


@dataclass(frozen=True)
class Support:
    """What is known about the modules and options of a kernel."""

    kernel: Kernel

    @cached_property
    def _loadable(self) -> set[str]:
        return {module_name(path) for path in read_dependencies(self.kernel.modules_dir)}

    @cached_property
    def _built_in(self) -> set[str]:
        return built_in(self.kernel.modules_dir)

    @cached_property
    def _config(self) -> str:
        text = self.kernel.config.read_text(encoding="utf-8")
        return f"\n{text}" if "CONFIG_" in text else ""

    def _value(self, symbol: str) -> str:
        """The value of an option such as CONFIG_SWAP; "" if it is not set."""
        _, _, rest = self._config.partition(f"\n{symbol}=")
        return rest.partition("\n")[0]

    @property
    def is_unknown(self) -> bool:
        """Whether nothing at all is known: a boot image alone."""
        return not (self._loadable or self._built_in or self._config)

    def knows(self, name: str) -> bool:
        """Whether it is known if the kernel has the module or option `name`."""
        return bool(self._config) or (not name.startswith(_CONFIG) and bool(self._loadable or self._built_in))

    def missing(self, name: str) -> str:
        """Why the kernel does not have the module or option `name`; "" if it has it, or if that is unknown."""
        if not self.knows(name):
            return ""
        if name.startswith(_CONFIG):
            return "" if self._value(name) else f"{name} is not set"
        if plain(name) in self._loadable | self._built_in:
            return ""
        return self._why_not(name, f"{_CONFIG}{SYMBOLS[name]}" if name in SYMBOLS else "")

    def _why_not(self, name: str, symbol: str) -> str:
        if self._value(symbol) == "y":
            return ""
        if plain(name) in all_modules(self.kernel.modules_dir):
            return f"the kernel has {name}.ko, and we leave it out of guests: add it to vm-images/modules.toml"
        if self._value(symbol) == "m":
            return f"{symbol}=m, but {name}.ko is not among its modules"
        return f"{symbol} is not set" if symbol else "neither built in nor a module"


def check_kernel(kernel: Kernel, needs: Mapping[str, Sequence[str]], progress: Progress) -> None:
    """Check that `kernel` has what every guest needs, and what each host of `needs`, by name, needs besides.

    Raises UsageError with all that is missing, and how to build a kernel that has it.
    """
    support = Support(kernel)
    if support.is_unknown:
        hint = "give its modules with --modules DIR|TAR, or put its configuration beside it, as config"
        raise UsageError(f"kernel {kernel.name}: neither modules nor a configuration were found for it; {hint}")
    wanted = _purposes(needs)
    if unknown := [name for name in wanted if not support.knows(name)]:
        progress.step(f"kernel {kernel.name}: no configuration beside it, so not looked for: {', '.join(unknown)}")
    problems = {name: problem for name in wanted if (problem := support.missing(name))}
    if problems:
        listed = "; ".join(f"{_short(name)} ({wanted[name]}): {problem}" for name, problem in problems.items())
        raise UsageError(f"kernel {kernel.name} lacks what is needed: {listed}{_remedy(problems)}")


def _purposes(needs: Mapping[str, Sequence[str]]) -> dict[str, str]:
    wanted = dict(EVERY_GUEST)
    for name in dict.fromkeys(name for names in needs.values() for name in names):
        wanted.setdefault(name, f"this case, on {', '.join(host for host in needs if name in needs[host])}")
    return wanted


def _short(name: str) -> str:
    return name.removeprefix(_CONFIG)


def _remedy(problems: Mapping[str, str]) -> str:
    """The command for a source tree that turns the missing options on."""
    symbols: Iterable[str] = (found[1] for text in problems.values() if (found := re.match(r"CONFIG_(\w+) is", text)))
    options = " ".join(f"-e {symbol}" for symbol in dict.fromkeys(symbols))
    return f"; build it after: scripts/config {options}" if options else ""
