"""The command line of a kernel of the run on a host that somebody owns."""

from __future__ import annotations

TOKEN = "harness.run"
# Words that belong to the owner's way of booting, or that say less on the console. Without crashkernel= the owner's
# kdump stays out of the way: it would make an initramfs for this kernel on the owner's disk, and catch its panics.
_DROPPED_KEYS = ("BOOT_IMAGE", "initrd", "crashkernel", "panic", TOKEN)
# nokaslr: a kernel that unpacks itself to a random place is silent for a minute on a slow host. dkms would build the
# owner's modules for this kernel, on the owner's disk.
_ADDED = ("nokaslr", "noresume", "systemd.mask=dkms.service", "panic=10")
_DROPPED_WORDS = ("quiet", "splash", "rhgb", "kaslr", *_ADDED)


def cmdline_of(owner: str, more: str, token: str) -> str:
    """The owner's command line for the run `token`, with the words `more` of the inventory at its end."""
    kept = [word for word in words_of(owner) if not _is_dropped(word)]
    return " ".join([*kept, *_ADDED, *words_of(more), f"{TOKEN}={token}"])


def words_of(cmdline: str) -> list[str]:
    """The words of a command line; what is in double quotes is one."""
    words, word, quoted = [], "", False
    for char in cmdline.strip() + " ":
        quoted ^= char == '"'
        if char.isspace() and not quoted:
            words += [word] if word else []
            word = ""
        else:
            word += char
    return words


def value_of(cmdline: str, key: str) -> str:
    """The last value of `key=` in a command line, without quotes; "" if there is none."""
    values = [word.partition("=")[2].strip('"') for word in words_of(cmdline) if word.startswith(f"{key}=")]
    return values[-1] if values else ""


def has_token(cmdline: str, token: str) -> bool:
    """Whether a kernel with this command line is that of the run `token`."""
    return f"{TOKEN}={token}" in words_of(cmdline)


def _is_dropped(word: str) -> bool:
    return word in _DROPPED_WORDS or ("=" in word and word.partition("=")[0] in _DROPPED_KEYS)
