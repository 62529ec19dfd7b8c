"""The seed archive of a guest: a small archive behind the kernel's initramfs.

The kernel unpacks archives one after the other; vm-images/init.c finds this one under /seed. Nothing in it
distinguishes one guest from another of the same machine: that comes later (`identity`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path

from harness.artifacts.cpio import make_cpio
from harness.guests.keys import make_key

AGENT = Path(__file__).parent.parent / "agent" / "agent.py"
UART = "/dev/ttyS1"  # the second serial port of a guest


def _packed(path: str, file: Path) -> bytes:
    """The replacement, compressed as the kernel's own module is."""
    data = file.read_bytes()
    # The kernel's own unpacker knows no other checksum (lib/decompress_unxz.c).
    return lzma.compress(data, check=lzma.CHECK_CRC32) if path.endswith(".xz") else data


def make_seed(boot_script: Path, modules: Mapping[str, Path], own_modules: Mapping[str, Path]) -> bytes:
    """The archive of a guest.

    `modules`: path below /lib/modules/<release> → the file that replaces it there. `own_modules`: name → file of a
    module that is only stored there, see `own_module_path`.
    """
    files: dict[str, bytes | Path] = {
        "agent.py": AGENT,
        "agent.json": json.dumps({"uart": UART}).encode(),
        "boot.sh": boot_script,
        # Only for sshd to start with; nobody ever sees it.
        "ssh_host_ed25519_key": make_key()[0],
        "modules.map": "".join(f"{path} {Path(path).name}\n" for path in modules).encode(),
    }
    for path, file in modules.items():
        files[f"modules/{Path(path).name}"] = _packed(path, file)
    for name, file in own_modules.items():
        files[f"modules/{name}.ko"] = file
    return make_cpio({f"seed/{name}": data for name, data in files.items()}, {"seed/ssh_host_ed25519_key": 0o600})
