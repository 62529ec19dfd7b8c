"""Which patches are built and which are refused, before anything is fetched or compiled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.kernels import patched_modules
from harness.kernels.kernels import Kernel
from harness.kernels.patch_file import Patch
from harness.kernels.patched_modules import build_patched, take_exports
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings

DIFF = "--- a/{0}\n+++ b/{0}\n@@ -1,2 +1,1 @@\n int one;\n-int two;\n"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "config").write_text('CONFIG_CC_VERSION_TEXT="gcc-99 (Debian)"\n')
    (tmp_path / "modules.dep").write_text(
        "kernel/fs/nfsd/nfsd.ko: kernel/net/sunrpc/sunrpc.ko\nkernel/net/sunrpc/sunrpc.ko:\n"
    )
    none = tmp_path / "none"
    return Kernel(
        name="debian:12", release="6.1.0-56-amd64", version="6.1.192-2", vmlinuz=none, modules_dir=tmp_path,
        modules_image=none, initrd=none, config=tmp_path / "config", digest="x",
    )  # fmt: skip


class Packages:
    """Gives one file of source; `asked` are the folders that were wanted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        (root / "manifest.json").write_text('{"files": {}}')

    def __call__(self, *_: object) -> Packages:
        return self

    def folders(self, folders: list[str]) -> Path:
        self.asked += folders
        return self.root

    def headers(self) -> Path:
        return self.root


class Built:
    """Stands in for make: says which patches it was given."""

    def __init__(self, folder: Path, kernel: Kernel, patches: list[Patch], progress: object) -> None:
        self.folder = folder
        self.names = [patch.path.name for patch in patches]

    def run(self, source: Path, headers: Path) -> None:
        (self.folder / "modules").mkdir()
        (self.folder / "modules/nbd.ko").write_text(" ".join(self.names))


def settings(root: Path) -> Settings:
    return Settings(state=root, cache=root / "cache", results=root)


def write(folder: Path, name: str, *paths: str) -> str:
    (folder / name).write_text("".join(DIFF.format(path) for path in paths))
    return str(folder / name)


def test_patches_are_built_in_their_order_and_found_again(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = Packages(tmp_path)
    monkeypatch.setattr(patched_modules, "KernelPackages", packages)
    monkeypatch.setattr(patched_modules, "_Build", Built)
    monkeypatch.setattr(patched_modules, "compiler_version", lambda _: "gcc")
    one = write(tmp_path, "1.patch", "drivers/block/nbd.c")
    two = write(tmp_path, "2.patch", "fs/nfsd/vfs.c", "drivers/block/nbd.c")
    (first,) = build_patched(settings(tmp_path), kernel, [one, two], Silent())
    assert first.read_text() == "1.patch 2.patch"
    assert packages.asked == ["drivers/block", "fs/nfsd"]
    assert build_patched(settings(tmp_path), kernel, [one, two], Silent()) == [first]
    (other,) = build_patched(settings(tmp_path), kernel, [two, one], Silent())
    assert other.read_text() == "2.patch 1.patch"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("include/linux/sunrpc/clnt.h", "is a header that any part of the kernel may include; apply it to a tree"),
        ("fs/nfsd/Kconfig", "changes what can be configured; apply it to a tree"),
    ],
)
def test_a_patch_of_more_than_modules_is_refused_at_once(
    tmp_path: Path, kernel: Kernel, path: str, problem: str
) -> None:
    patch = write(tmp_path, "x.patch", "fs/nfsd/vfs.c", path)
    with pytest.raises(UsageError, match=rf"x.patch touches more than modules: {path} {problem}"):
        build_patched(settings(tmp_path), kernel, [patch], Silent())


def test_a_kernel_of_the_users_own_is_patched_by_the_user(tmp_path: Path, kernel: Kernel) -> None:
    own = dataclasses.replace(kernel, name="./linux")
    with pytest.raises(UsageError, match=r"and \./linux is not one; apply fix.patch to its source and build that"):
        build_patched(settings(tmp_path), own, ["fix.patch"], Silent())


def test_what_a_patched_module_exports_takes_the_place_of_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "net/sunrpc").mkdir(parents=True)
    (tmp_path / "Module.symvers").write_text(
        "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x2\trpc_call\tnet/sunrpc/sunrpc\tEXPORT_SYMBOL\t\n"
        "0x3\trpc_gone\tnet/sunrpc/sunrpc\tEXPORT_SYMBOL\t\n0x4\tnfs_x\tfs/nfs/nfs\tEXPORT_SYMBOL\t\n"
    )
    (tmp_path / "net/sunrpc/Module.symvers").write_text(
        "0x5\trpc_call\tnet/sunrpc/sunrpc\tEXPORT_SYMBOL\t\n0x6\trpc_new\tnet/sunrpc/sunrpc\tEXPORT_SYMBOL_GPL\t\n"
    )
    take_exports(tmp_path, "net/sunrpc", ["sunrpc"])
    left = [line.split("\t")[:2] for line in (tmp_path / "Module.symvers").read_text().splitlines()]
    assert left == [["0x1", "printk"], ["0x4", "nfs_x"], ["0x5", "rpc_call"], ["0x6", "rpc_new"]]
