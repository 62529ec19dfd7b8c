"""The root file system of guests: built from a recipe with mmdebstrap, as a read-only qcow2 base for overlays."""

from __future__ import annotations

import io
import os
import re
import shlex
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from harness.artifacts.cache import BUILD_LOG, MANIFEST, Cache, find_damage, read_manifest
from harness.artifacts.ext4 import mke2fs_command
from harness.artifacts.mirror import Sources, codename_of, find_sources
from harness.artifacts.recipes import Recipe, read_recipe
from harness.artifacts.run_tool import CommandFailed, run_tool
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB

# Incremented whenever the same recipe would build a different image.
BUILDER = 1
KIND = "image"
PACKAGES_IN_IMAGE = "/usr/share/harness-packages.txt"

PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
# Only the wildcards in it are special to a shell.
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./*?+-]+$")]

# Messages of mmdebstrap, and the approximate share of its work that is done by then.
_STAGES = {
    "running apt-get update": 0.02,
    "downloading packages": 0.10,
    "extracting archives": 0.30,
    "installing essential packages": 0.40,
    "installing remaining packages": 0.55,
    "running --customize-hook": 0.75,
    "cleaning package lists": 0.80,
    "creating tarball": 0.85,
}


class ImageFile(Recipe):
    """A file of the image: its text and permissions."""

    text: str
    mode: Annotated[int, Field(ge=0, le=0o7777)] = 0o644


class ImageRecipe(Recipe):
    """A guest's root file system.

    `system` is a distribution (`debian:12`), `size_mib` the size of the file system. `exclude` are glob patterns of
    paths that packages leave out, `include` exceptions from them, `remove` glob patterns of paths removed at the end.
    `folders` are empty folders to make, `files` texts to write, by absolute path.
    """

    system: str
    size_mib: Annotated[int, Field(ge=256, le=64 * 1024)]
    packages: Annotated[tuple[PackageName, ...], Field(min_length=1)]
    exclude: tuple[AbsolutePath, ...] = ()
    include: tuple[AbsolutePath, ...] = ()
    remove: tuple[AbsolutePath, ...] = ()
    folders: tuple[AbsolutePath, ...] = ()
    files: dict[AbsolutePath, ImageFile] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A read-only base image; `digest` covers its contents, `packages` lists names and versions."""

    path: Path
    digest: str
    recipe: Path
    packages: Path


def build_image(settings: Settings, recipe_path: Path, progress: Progress, *, refresh: bool = False) -> Image:
    """The image of `recipe_path`, from the cache or built now (half a minute, a gigabyte of disk).

    A change of the recipe or `refresh` builds it anew; newer packages in the archive alone do not. Raises UsageError
    for a bad recipe, HostEnvironmentError for what this machine lacks.
    """
    recipe = read_recipe(recipe_path, ImageRecipe)
    codename = codename_of(recipe.system)
    key = {"builder": BUILDER, "recipe": recipe.model_dump(), "mirror": settings.mirror}
    cache = Cache(settings.cache, progress)

    def build(folder: Path) -> None:
        sources = find_sources(settings.mirror, codename)
        _Build(folder, recipe, sources, progress).run()

    need = recipe.size_mib * MIB // 2 + GIB
    return _image_of(cache.get_or_build(KIND, key, build, need=need, refresh=refresh), recipe_path)


def check_image(path: Path) -> None:
    """Raise UsageError unless `path` is a readable qcow2 image, undamaged if it is in the cache."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        problem = f"image {path} cannot be read: {error.strerror}"
        raise HostEnvironmentError(problem, remedy="build it with `harness prepare`") from error
    if magic != b"QFI\xfb":
        raise UsageError(f"image {path} is no qcow2 image (it begins with {magic!r})")
    if (path.parent / MANIFEST).exists() and (damages := find_damage(path.parent)):
        problem = f"image damaged: {damages[0]}"
        raise HostEnvironmentError(problem, remedy="build it again with `harness prepare --refresh`")


def _image_of(entry: Path, recipe: Path) -> Image:
    path = entry / "base.qcow2"
    digest = read_manifest(entry)["files"]["base.qcow2"]["sha256"]
    return Image(path=path, digest=digest, recipe=recipe, packages=entry / "packages.txt")


class _Build:
    """One build, in the folder of its cache entry."""

    def __init__(self, folder: Path, recipe: ImageRecipe, sources: Sources, progress: Progress) -> None:
        self._folder = folder
        self._recipe = recipe
        self._sources = sources
        self._progress = progress
        self._log = folder / BUILD_LOG
        self._said = ""

    def run(self) -> None:
        """Packages → tar archive → ext4 → qcow2; only the last stays."""
        archive = self._folder / "root.tar"
        raw = self._folder / "root.ext4"
        base = self._folder / "base.qcow2"
        self._bootstrap(archive)
        self._progress.step("image: making the file system", 0.90)
        self._keep_packages(archive)
        self._make_filesystem(archive, raw)
        self._progress.step("image: writing the base image", 0.97)
        run_tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(base)], log=self._log)
        base.chmod(0o444)
        archive.unlink()
        raw.unlink()
        self._progress.step("image: built", 1.0)

    def _bootstrap(self, archive: Path) -> None:
        overlay = self._folder / "overlay.tar"
        self._write_overlay(overlay)
        argv = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(self._recipe.packages)}"]
        argv += [f"--aptopt={option}" for option in self._sources.options]
        argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in self._recipe.exclude]
        argv += [f"--dpkgopt=path-include={pattern}" for pattern in self._recipe.include]
        argv += [f"--customize-hook={hook}" for hook in self._hooks(overlay)]
        argv += [self._sources.codename, str(archive), *self._sources.lines]
        # As root, all files of a build are in one place, where those of a killed one are found. Without privileges, the
        # users that a build maps cannot enter a private cache folder, so it uses the common one.
        env = {"TMPDIR": str(self._folder)} if os.geteuid() == 0 else {}
        try:
            run_tool(argv, log=self._log, on_line=self._follow, env=env)
        except CommandFailed as error:
            remedy = "check the network and `apt-get update`, or choose another mirror with --harness-mirror"
            raise HostEnvironmentError(f"the image could not be built: {error}", remedy=remedy) from error
        overlay.unlink()

    def _hooks(self, overlay: Path) -> list[str]:
        """Options with the commands for mmdebstrap to run in the new root, which is $1 to the shell lines."""
        query = "dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n'"
        lines = [f"tar-in {shlex.quote(str(overlay))} /", f'chroot "$1" {query} >"$1"{PACKAGES_IN_IMAGE}']
        # Under emulation, compiling the standard library at the first start of python3 costs seconds.
        script = "import compileall, os; compileall.compile_dir(os.path.dirname(os.__file__), quiet=1)"
        lines.append(f"""chroot "$1" python3 -c '{script}'""")
        return [*lines, *(f'rm -rf "$1"{pattern}' for pattern in self._recipe.remove)]

    def _follow(self, line: str) -> None:
        said = re.match(r"I: (.*?)(\.\.\.|:|$)", line)
        if said and said[1] != self._said:
            self._said = said[1]
            share = next((share for stage, share in _STAGES.items() if said[1].startswith(stage)), None)
            self._progress.step(f"image: {said[1]}", share)

    def _write_overlay(self, archive: Path) -> None:
        """The recipe's folders and files as a tar archive, all owned by root."""
        with tarfile.open(archive, "w") as tar:
            for folder in self._recipe.folders:
                tar.addfile(_tar_member(folder, tarfile.DIRTYPE, 0o755))
            for name, file in self._recipe.files.items():
                data = file.text.encode()
                member = _tar_member(name, tarfile.REGTYPE, file.mode)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    def _keep_packages(self, archive: Path) -> None:
        with tarfile.open(archive) as tar:
            listing = tar.extractfile(f".{PACKAGES_IN_IMAGE}")
            if listing is None:
                raise HostEnvironmentError(f"the image has no {PACKAGES_IN_IMAGE}")
            (self._folder / "packages.txt").write_bytes(listing.read())

    def _make_filesystem(self, archive: Path, raw: Path) -> None:
        """An ext4 file system from the archive; under fakeroot, so that owners come out right for any user."""
        size = self._recipe.size_mib * MIB
        with tempfile.TemporaryDirectory(prefix="tree-", dir=self._folder) as tree:
            unpack = ["tar", "-xf", str(archive), "-C", tree, "--exclude=./dev/*", "--same-owner", "-p"]
            make = mke2fs_command(Path(tree), raw, size, "root", "has_journal")
            steps = f"{shlex.join(unpack)} && {shlex.join(make)}"
            run_tool(["fakeroot", "sh", "-c", steps], log=self._log)


def _tar_member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo("." + name)
    member.type = kind
    member.mode = mode
    return member
