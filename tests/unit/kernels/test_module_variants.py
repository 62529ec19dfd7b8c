"""Module variants: what their recipes and patches may say, and what is told if they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.artifacts import recipes
from harness.kernels import module_variants
from harness.kernels.kernels import Kernel
from harness.kernels.module_variants import VariantRecipe, build_variant, read_variant, variant_names, variants_for
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings

VARIANT = 'module = "demo"\nsource = "drivers/block"\nfiles = ["demo.c"]\nundoes = "nothing"\n'
SOURCE = "int one;\nint two;\nint three;\n"
PATCH = """\
A comment.

--- a/drivers/block/demo.c
+++ b/drivers/block/demo.c
@@ -1,3 +1,2 @@
 int one;
-int two;
 int three;
"""


def kernel(root: Path, *, name: str = "debian:12", release: str = "6.1.0-56-amd64") -> Kernel:
    config = root / "config"
    config.write_text('CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-99 (Debian 99.2) 99.2"\n')
    none = root / "none"
    return Kernel(
        name=name, release=release, version="6.1.192-2", vmlinuz=none, modules_dir=none, modules_image=none,
        initrd=none, config=config, digest="x",
    )  # fmt: skip


def settings(root: Path) -> Settings:
    return Settings(state=root / "state", cache=root / "cache", results=root / "results")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vm-images folder with one variant, `demo`, for 6.1."""
    variant = tmp_path / "vm-images/modules/demo"
    variant.mkdir(parents=True)
    (variant / "variant.toml").write_text(VARIANT)
    (variant / "6.1.patch").write_text(PATCH)
    monkeypatch.setattr(recipes, "VM_IMAGES", tmp_path / "vm-images")
    return variant


@pytest.mark.parametrize("name", variant_names())
def test_variants_of_the_repository_have_a_patch_or_their_own_source(name: str) -> None:
    recipe, folder = read_variant(name), recipes.vm_images() / "modules" / name
    patches = list(folder.glob("*.patch"))
    assert bool(patches) != recipe.is_own
    assert not recipe.is_own or all((folder / path).is_file() for path in recipe.sources)
    for patch in patches:
        touched = {line[6:] for line in patch.read_text().splitlines() if line.startswith(("--- a/", "+++ b/"))}
        assert touched
        assert touched <= set(recipe.sources)


def test_nbd_no_memalloc_takes_away_the_reserves_and_adds_nothing() -> None:
    text = (recipes.vm_images() / "modules/nbd-no-memalloc/6.1.patch").read_text()
    lines = text[text.index("\n@@ ") :].splitlines()
    removed = [line[1:].strip() for line in lines if line.startswith("-")]
    added = [line[1:].strip() for line in lines if line.startswith("+")]
    assert added == ["sock->sk->sk_allocation = GFP_NOIO;"]
    assert [line for line in removed if line and "memalloc" not in line.lower()] == ["unsigned int noreclaim_flag;"]
    assert sum("sk_set_memalloc" in line for line in removed) == 2


def test_an_unknown_variant_offers_the_known_ones(tmp_path: Path, folder: Path) -> None:
    for name in ("nbd", "../modules/demo", ""):
        with pytest.raises(UsageError, match=r"no module variant .*there are: demo"):
            build_variant(settings(tmp_path), kernel(tmp_path), name, Silent())


def test_variants_for_a_kernel_are_its_patches_and_our_own() -> None:
    assert {"nbd-no-memalloc", "harness-net"} <= set(variants_for("6.1"))
    assert "nfs-release-waits" not in variants_for("6.1")
    assert {"nfs-release-waits", "harness-net"} <= set(variants_for("6.12"))
    assert "nbd-no-memalloc" not in variants_for("6.12")


def test_a_kernel_without_a_patch_is_refused_before_anything_is_fetched(tmp_path: Path, folder: Path) -> None:
    other = kernel(tmp_path, name="debian:13", release="6.12.117+deb13-amd64")
    with pytest.raises(UsageError, match=r"demo has no patch for kernel 6\.12 \(debian:13\); it has: 6\.1"):
        build_variant(settings(tmp_path), other, "demo", Silent())


def test_a_kernel_of_the_users_own_has_no_variants(tmp_path: Path, folder: Path) -> None:
    own = kernel(tmp_path, name="./linux/bzImage")
    with pytest.raises(UsageError, match=r"built from a distribution's packages, which \./linux/bzImage has not"):
        build_variant(settings(tmp_path), own, "demo", Silent())


@pytest.mark.parametrize("bad", ["../etc", "/etc", "drivers/../x", ".git", "a b", ""])
def test_paths_of_a_recipe_stay_in_the_tree(tmp_path: Path, folder: Path, bad: str) -> None:
    (folder / "variant.toml").write_text(VARIANT.replace("drivers/block", bad))
    with pytest.raises(UsageError, match=r"variant.toml: source: String should match"):
        read_variant("demo")


def test_sources_are_paths_from_the_top_of_the_tree() -> None:
    recipe = VariantRecipe(module="nfsd", source="fs/nfsd", files=("vfs.c",), extra=("fs/internal.h",), undoes="x")
    assert recipe.sources == ["fs/nfsd/vfs.c", "fs/internal.h"]


def make_own(folder: Path) -> None:
    """Turn the variant `demo` into a module of our own."""
    (folder / "6.1.patch").unlink()
    (folder / "variant.toml").write_text('module = "demo"\nfiles = ["demo.c"]\n')
    (folder / "demo.c").write_text("int own;\n")


def test_a_recipe_is_of_a_patched_driver_or_of_our_own_module_and_not_half_of_each(folder: Path) -> None:
    (folder / "variant.toml").write_text(VARIANT.replace('undoes = "nothing"', ""))
    with pytest.raises(UsageError, match=r"variant.toml: recipe: .*says in 'undoes' what its patch takes away"):
        read_variant("demo")
    for more in ('extra = ["fs/internal.h"]', 'undoes = "x"', 'commits = ["x"]'):
        (folder / "variant.toml").write_text('module = "demo"\nfiles = ["demo.c"]\n' + more)
        with pytest.raises(UsageError, match=r"variant.toml: recipe: .*own, without a 'source', has no 'extra'"):
            read_variant("demo")


def test_a_module_of_our_own_that_is_not_there_is_one_clear_line(tmp_path: Path, folder: Path) -> None:
    make_own(folder)
    (folder / "demo.c").unlink()
    with pytest.raises(UsageError, match=r"variant.toml: files: .*demo.c: No such file"):
        build_variant(settings(tmp_path), kernel(tmp_path), "demo", Silent())


class Built:
    """Stands in for the compiler: what it was given becomes the module."""

    def __init__(self, folder: Path, *_: object) -> None:
        self.folder = folder

    def run(self, source: Path, headers: Path, patch: Path | None) -> None:
        assert patch is None, "a module of our own is not patched"
        (self.folder / "demo.ko").write_text((source / "demo.c").read_text())


@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_a_module_of_our_own_is_built_for_every_kernel_and_again_when_its_source_changes(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, series: str
) -> None:
    monkeypatch.setattr(module_variants, "KernelPackages", OnlyHeaders)
    monkeypatch.setattr(module_variants, "_Build", Built)
    monkeypatch.setattr(module_variants, "compiler_version", lambda _: "gcc")
    wanted = kernel(tmp_path, release=f"{series}.0-1-amd64")
    make_own(folder)
    first = build_variant(settings(tmp_path), wanted, "demo", Silent())
    assert build_variant(settings(tmp_path), wanted, "demo", Silent()) == first
    (folder / "demo.c").write_text("int other;\n")
    second = build_variant(settings(tmp_path), wanted, "demo", Silent())
    assert (first.read_text(), second.read_text()) == ("int own;\n", "int other;\n")


class OnlyHeaders:
    """A distribution of which no source is wanted."""

    def __init__(self, *_: object) -> None:
        pass

    def headers(self) -> Path:
        return Path("headers")


class NoPackages:
    """Gives the source without a distribution; the headers are never reached."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = root
        (root / "drivers/block").mkdir(parents=True)
        (root / "drivers/block/demo.c").write_text(text)
        (root / "manifest.json").write_text('{"files": {}}')

    def __call__(self, *_: object) -> NoPackages:
        return self

    def source(self, paths: list[str]) -> Path:
        assert paths == ["drivers/block/demo.c"]
        return self.root

    def headers(self) -> Path:
        return self.root


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the tool patch (apt-get install patch)")
@pytest.mark.parametrize("text", ["int other;\n", SOURCE.replace("one", "ONE"), "int one;\nint three;\n"])
def test_a_patch_that_does_not_fit_says_so_and_keeps_the_log(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(module_variants, "KernelPackages", NoPackages(tmp_path / "source", text))
    with pytest.raises(UsageError, match=r"6.1.patch does not apply to the source of debian:12 6.1.192-2: ") as error:
        build_variant(settings(tmp_path), kernel(tmp_path), "demo", Silent())
    log = Path(str(error.value).rpartition("log: ")[2])
    assert "demo.c" in log.read_text()
    assert "\n" not in str(error.value)


def test_a_missing_compiler_is_one_clear_line(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_variants, "KernelPackages", NoPackages(tmp_path / "source", SOURCE))
    monkeypatch.setattr("harness.artifacts.run_tool.SEARCH_PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"^gcc is not installed; install it: apt-get install gcc"):
        build_variant(settings(tmp_path), kernel(tmp_path), "demo", Silent())
