"""SSH keys: one to log in with for each state folder, and a host key for each start of a guest."""

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
    """The key to log in with: path of its private half, and its public half (`ssh-ed25519 AAAA…`)."""

    client_file: Path
    client_public: str


def keys_of(state: Path) -> Keys:
    """The keys of a state folder, made when they are first asked for."""
    folder = state / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    client = folder / "id_ed25519"
    if not client.exists():
        _make(client)
    try:
        return Keys(client_file=client, client_public=read_key(client))
    except Exception as error:
        raise HostEnvironmentError(
            f"the SSH keys in {folder} cannot be read ({error})", remedy=f"remove {folder}; new ones are made"
        ) from error


def make_key() -> tuple[bytes, str]:
    """A new key: its private half as a file of OpenSSH, and the public one, `ssh-ed25519 AAAA…`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public.decode()


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(make_key()[0])
    try:
        os.link(draft, path)  # the first of two processes wins; both then use the same key
    except FileExistsError:
        pass
    finally:
        draft.unlink()
