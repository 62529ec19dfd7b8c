"""SSH keys of one state folder: the key that logs in, and the host key that every guest shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.drivers.ssh import read_key
from harness.model.errors import HostEnvironmentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Paths of the two private keys, and their public halves (`ssh-ed25519 AAAA…`)."""

    client_file: Path
    host_file: Path
    client_public: str
    host_public: str


def keys_of(state: Path) -> Keys:
    """The keys of a state folder, made when they are first asked for."""
    folder = state / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    client, host = folder / "id_ed25519", folder / "ssh_host_ed25519_key"
    for path in (client, host):
        if not path.exists():
            _make(path)
    try:
        return Keys(client_file=client, host_file=host, client_public=read_key(client), host_public=read_key(host))
    except Exception as error:
        raise HostEnvironmentError(
            f"the SSH keys in {folder} cannot be read ({error})", remedy=f"remove {folder}; new ones are made"
        ) from error


def _make(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(text)
    try:
        os.link(draft, path)  # the first of two processes wins; both then use the same key
    except FileExistsError:
        pass
    finally:
        draft.unlink()
