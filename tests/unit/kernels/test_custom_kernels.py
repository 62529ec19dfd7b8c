"""Kernels that the user built: found with their modules, or refused with a reason."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_makers import CONFIG, MODULES, RELEASE, boot_image, installed, module, package, package_in_parts, tree

from harness.artifacts import cache_eviction
from harness.kernels import custom_kernels
from harness.kernels.custom_kernels import find_kernel
from harness.kernels.find_kernel import BootImage, find_origin
from harness.kernels.kernels import Kernel
from harness.kernels.module_set import all_modules, built_in
from harness.kernels.module_sources import InstalledModules, PackedModules, TreeModules
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings

OTHER = "6.17.0"
KEPT = [f"kernel/{name}.ko" for name in sorted(MODULES) if "/gpu/" not in name]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Steps:
    """Hears what is done."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, what: str, done: float | None = None) -> None:
        self.steps.append(what)


def load(cache: Path, path: Path, *, modules_from: Path | str = "", progress: Steps | None = None) -> Kernel:
    settings = Settings(state=cache, cache=cache, results=cache)
    return find_kernel(settings, str(path), progress or Silent(), modules_from=str(modules_from))


def modules_of(kernel: Kernel) -> list[str]:
    folder = kernel.modules_dir
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.ko"))


def everything_below(root: Path) -> list[tuple[str, int, int]]:
    stats = ((str(path), path.lstat()) for path in sorted(root.rglob("*")))
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def image_of(path: Path) -> BootImage:
    found = find_origin(path)
    assert isinstance(found, BootImage)
    return found


@pytest.mark.parametrize("order", ["kernel/{}.ko\n", "{}.ko\n", "{}.o\n"], ids=["v5.2", "v6.2", "v6.3"])
def test_a_built_tree_gives_its_image_its_modules_and_its_configuration(
    tmp_path: Path, cache: Path, order: str
) -> None:
    top = tree(tmp_path / "linux", order)
    before = everything_below(top)
    kernel = load(cache, top)
    assert (kernel.release, kernel.version) == (RELEASE, f"{RELEASE} (me) #1")
    assert kernel.vmlinuz.read_bytes() == (top / "arch/x86/boot/bzImage").read_bytes()
    assert kernel.config.read_text() == CONFIG
    assert modules_of(kernel) == KEPT
    assert all_modules(kernel.modules_dir) == {"nbd", "ext4", "drm"}
    assert built_in(kernel.modules_dir) == {"virtio_pci"}
    assert (kernel.modules_dir / "modules.dep").exists()
    assert everything_below(top) == before, "nothing is written into the user's tree"


def test_debug_information_does_not_reach_a_guest(tmp_path: Path, cache: Path) -> None:
    top = tree(tmp_path / "linux")
    kernel = load(cache, top)
    assert (top / "drivers/block/nbd.ko").stat().st_size > 100_000
    assert (kernel.modules_dir / "kernel/drivers/block/nbd.ko").stat().st_size < 10_000


def test_a_kernel_is_taken_again_only_when_one_of_its_files_changed(tmp_path: Path, cache: Path) -> None:
    top, progress = tree(tmp_path / "linux"), Steps()
    first = load(cache, top, progress=progress)
    assert progress.steps
    progress.steps.clear()
    assert load(cache, top, progress=progress) == first
    assert not progress.steps
    os.utime(top / "drivers/block/nbd.ko", ns=(1, 1))
    assert load(cache, top, progress=progress).modules_dir != first.modules_dir
    assert progress.steps


def test_kernels_go_once_nobody_uses_them_and_others_were_used_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: dict[Path, int] = {}

    def hold(find: Callable[[], Path]) -> tuple[Path, int]:
        entry, descriptor = cache_eviction.hold(find)
        held[entry] = descriptor
        return entry, descriptor

    monkeypatch.setattr(custom_kernels, "hold", hold)
    monkeypatch.setattr(custom_kernels, "BUDGET", 0)
    first, second = (load(tmp_path, tree(tmp_path / name)) for name in ("a", "b"))
    assert first.vmlinuz.exists() and second.vmlinuz.exists(), "guests of this process start from both"
    os.close(held[first.vmlinuz.parent])
    monkeypatch.setattr(custom_kernels, "_held", set())  # as in another process
    progress = Steps()
    load(tmp_path, tmp_path / "b", progress=progress)
    assert not first.vmlinuz.exists() and second.vmlinuz.exists()
    assert progress.steps == [f"removed the kernel {first.vmlinuz.parent.name}: others were used later"]
    for descriptor in [*held.values()][1:]:
        os.close(descriptor)


def test_a_kernel_that_every_trial_asks_for_is_held_once(tmp_path: Path, cache: Path) -> None:
    top = tree(tmp_path / "linux")
    load(cache, top)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        load(cache, top)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_image_in_a_built_tree_is_that_tree(tmp_path: Path) -> None:
    top = tree(tmp_path)
    assert image_of(top / "arch/x86/boot/bzImage") == image_of(top)
    assert image_of(top).modules == TreeModules(top)


@pytest.mark.parametrize("place", ["vmlinuz", f"boot/vmlinuz-{RELEASE}", "arch/x86/boot/bzImage"])
def test_modules_are_found_beside_and_above(tmp_path: Path, place: str) -> None:
    folder = installed(tmp_path)
    assert image_of(boot_image(tmp_path / place)).modules == InstalledModules(folder)
    assert image_of(tmp_path).modules == InstalledModules(folder)


def test_modules_of_another_release_do_not_count(tmp_path: Path) -> None:
    installed(tmp_path, OTHER)
    assert image_of(boot_image(tmp_path / "vmlinuz")).modules is None


@pytest.mark.parametrize("usr", [False, True])
def test_a_package_gives_all_of_a_kernel(tmp_path: Path, cache: Path, usr: bool) -> None:
    kernel = load(cache, package(tmp_path / f"linux-image-{usr}.deb", usr=usr))
    assert (kernel.release, kernel.version) == (RELEASE, "6.18~rc1-3")
    assert kernel.config.read_text() == CONFIG
    assert modules_of(kernel) == KEPT


def test_a_kernel_in_several_packages_is_put_together(tmp_path: Path, cache: Path) -> None:
    whole = package_in_parts(tmp_path / "debs")
    kernel = load(cache, whole)
    assert (kernel.release, kernel.version, kernel.config.read_text()) == (RELEASE, "6.18~rc1-3", CONFIG)
    assert modules_of(kernel) == KEPT
    assert built_in(kernel.modules_dir) == {"virtio_pci"}
    missing = f"linux-modules-{RELEASE}_6.18~rc1-3_amd64.deb"
    (whole.parent / missing).unlink()
    with pytest.raises(UsageError, match=rf"is in several packages; put beside it: {re.escape(missing)}$"):
        load(cache, whole)


@pytest.mark.parametrize("place", [".", "lib", "lib/modules", f"lib/modules/{RELEASE}"])
def test_modules_of_a_bare_image_are_given_as_a_folder(tmp_path: Path, cache: Path, place: str) -> None:
    installed(tmp_path / "root")
    image = boot_image(tmp_path / "images/bzImage")
    assert modules_of(load(cache, image, modules_from=tmp_path / "root" / place)) == KEPT


@pytest.mark.parametrize(("flags", "top"), [("-cf", "lib"), ("-czf", "lib"), ("-cJf", RELEASE)])
def test_modules_of_a_bare_image_are_given_as_a_tar_file(tmp_path: Path, cache: Path, flags: str, top: str) -> None:
    folder = installed(tmp_path / "root")
    tar = tmp_path / "modules.tar"
    base = tmp_path / "root" if top == "lib" else folder.parent
    subprocess.run(["tar", flags, tar, "-C", base, top], check=True)
    assert modules_of(load(cache, boot_image(tmp_path / "images/bzImage"), modules_from=tar)) == KEPT


def test_what_is_no_built_tree_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").touch()
    with pytest.raises(UsageError, match=r"has no boot image \(arch/x86/boot/bzImage, vmlinuz\); run make bzImage"):
        find_origin(tmp_path)
    top = tree(tmp_path)
    (top / "fs/ext4/ext4.ko").unlink()
    with pytest.raises(UsageError, match=r"1 of the 3 modules of modules.order are not built, such as fs/ext4/ext4.ko"):
        image_of(top).key()
    (top / "modules.order").unlink()
    with pytest.raises(UsageError, match=r"has no modules.order: its modules are not built; run make in it"):
        find_origin(top)


def test_a_folder_with_two_images_wants_one_named(tmp_path: Path) -> None:
    for release in (RELEASE, OTHER):
        boot_image(tmp_path / f"boot/vmlinuz-{release}", release)
    with pytest.raises(UsageError, match=r"has 2 boot images; name one: boot/vmlinuz-6.17.0, boot/vmlinuz-6.18"):
        find_origin(tmp_path)


def test_modules_of_another_kernel_are_refused_with_those_that_there_are(tmp_path: Path, cache: Path) -> None:
    image = boot_image(tmp_path / "bzImage")
    installed(tmp_path / "root", OTHER)
    known = r"has none for kernel 6\.18\.0-rc1\+ \(lib/modules/6\.18\.0-rc1\+\); it has those of: 6\.17\.0"
    with pytest.raises(UsageError, match=known):
        find_origin(image, str(tmp_path / "root"))
    tar = tmp_path / "modules.tar"
    subprocess.run(["tar", "-cf", tar, "-C", tmp_path / "root", "lib"], check=True)
    with pytest.raises(UsageError, match=known):
        load(cache, image, modules_from=tar)


def test_a_module_that_says_it_is_another_kernels_is_refused(tmp_path: Path, cache: Path) -> None:
    module(tmp_path / f"lib/modules/{RELEASE}/kernel/fs/x.ko", OTHER)
    with pytest.raises(UsageError, match=r"x.ko was built for kernel 6\.17\.0, the guest runs 6\.18"):
        load(cache, boot_image(tmp_path / "vmlinuz"))


@pytest.mark.parametrize(
    ("name", "problem"),
    [("./no/such", "cannot be read"), ("debian:3", "no distribution"), ("vmlinuz", "no distribution 'vmlinuz'")],
)
def test_what_is_no_kernel_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path / "cache", results=tmp_path)
    with pytest.raises(UsageError, match=problem):
        find_kernel(settings, name, Silent())
    assert not (tmp_path / "cache").exists()


def test_a_kernel_that_does_not_say_its_release(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say its release"):
        find_origin(boot_image(tmp_path / "vmlinuz", ""))


def test_packages_that_have_no_kernel_are_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"has no boot image \(boot/vmlinuz-\*\); give the package linux-image-<rel"):
        load(cache, package(tmp_path / "linux-image-amd64.deb", image=False))
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"!<arch>\nnothing")
    with pytest.raises(UsageError, match="is no Debian package that can be read"):
        load(cache, broken)


def test_modules_are_for_boot_images_only(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match=r"is a package, which has its modules in it; leave out ./m"):
        load(cache, package(tmp_path / "linux.deb"), modules_from="./m")
    settings = Settings(state=tmp_path, cache=cache, results=tmp_path)
    with pytest.raises(UsageError, match=r"debian:12 has its own modules; \./m is for a boot image"):
        find_kernel(settings, "debian:12", Silent(), modules_from="./m")


def test_what_is_no_tar_file_is_refused_in_one_line(tmp_path: Path, cache: Path) -> None:
    image, no_tar = boot_image(tmp_path / "bzImage"), tmp_path / "modules.txt"
    no_tar.write_text("hello")
    assert find_origin(image, str(no_tar)).key()["modules"] == PackedModules(no_tar).fingerprint()
    with pytest.raises(UsageError, match=r"modules.txt is neither a folder nor a tar file") as error:
        load(cache, image, modules_from=no_tar)
    assert "\n" not in str(error.value)
