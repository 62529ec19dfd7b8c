"""File systems made from a folder: ext4 images without loop mounts, the same with every version of mke2fs."""

from __future__ import annotations

from pathlib import Path

# Listed one by one, since a newer mke2fs enables features that older kernels refuse. No checksums: an emulated
# processor would compute each of them in software, and no test is about the root disk.
_FEATURES = "dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,large_file,sparse_super"


def mke2fs_command(tree: Path, image: Path, size: int, label: str, *extra_features: str) -> list[str]:
    """The command that makes `image`, a file system of `size` bytes with the contents of `tree`."""
    features = ",".join(["none", _FEATURES, *extra_features])
    # Lazy initialisation by the guest's kernel would be disk traffic during a trial.
    eager = "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    options = ["-q", "-F", "-t", "ext4", "-L", label, "-b", "4096", "-m", "0", "-O", features, "-E", eager]
    return ["mke2fs", *options, "-d", str(tree), str(image), f"{size // 1024}k"]
