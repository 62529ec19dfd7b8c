"""A kernel's Debian packages: the archive's linux-image-*.deb, or what `make bindeb-pkg` leaves.

Since Debian 14, linux-image-<release> is empty and depends on packages with the boot image, the modules and the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.run_tool import CommandFailed, read_tool, run_tool
from harness.kernels.kernel_checks import check_kernel_image
from harness.model.errors import UsageError

_MAGIC = b"!<arch>\n"
_PARTS = ("base", "binary", "modules")
# In this order: packages of one piece, and those in parts.
_IMAGES = ("boot/vmlinuz-*", "lib/modules/*/vmlinuz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """An unpacked kernel: boot image, `uname -r`, and its configuration if there was one."""

    vmlinuz: Path
    release: str
    config: Path | None


def is_package(path: Path) -> bool:
    """Whether the file `path` has the format of a Debian package."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def package_version(path: Path) -> str:
    """The version of a package file; raises UsageError if it is not a package."""
    return _field(path, "Version")


def part_names(image_package: str) -> list[str]:
    """Names of the packages that may contain the parts of the kernel of `linux-image-<release>`."""
    return [image_package.replace("linux-image-", f"linux-{part}-", 1) for part in _PARTS]


def parts_beside(path: Path) -> list[Path]:
    """The package file `path`, and those with other parts of its kernel, of the same version, in the same folder.

    Raises UsageError that names missing dependencies.
    """
    depends = {part.split()[0] for part in _field(path, "Depends").split(",") if part.strip()}
    wanted = [name for name in part_names(_field(path, "Package")) if name in depends]
    _, _, rest = path.name.partition("_")  # <name>_<version>_<architecture>.deb
    files = [path.with_name(f"{name}_{rest}") for name in wanted]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"kernel {path} is in several packages; put beside it: {', '.join(missing)}")
    return [path, *files]


def unpack_kernel(packages: Iterable[Path], root: Path, log: Path) -> Unpacked:
    """Unpack `packages`, the first of which is the kernel's, into `root`, its modules into `root`/lib/modules.

    Raises UsageError for packages without a kernel, or with one for another architecture.
    """
    packages = list(packages)
    for package in packages:
        try:
            run_tool(["dpkg-deb", "-x", str(package), str(root)], log=log)
        except CommandFailed as error:
            raise _unreadable(package, error) from error
    _move_modules(root)
    images = [path for pattern in _IMAGES for path in sorted(root.glob(pattern))]
    if not images:
        hint = "give the package linux-image-<release>; the one without a release in its name only depends on it"
        raise UsageError(f"kernel {packages[0]} has no boot image (boot/vmlinuz-*); {hint}")
    release = (check_kernel_image(images[0]).split() or [images[0].name.removeprefix("vmlinuz-")])[0]
    configs = (root / f"boot/config-{release}", root / "lib/modules" / release / "config")
    return Unpacked(vmlinuz=images[0], release=release, config=next(filter(Path.is_file, configs), None))


def _move_modules(root: Path) -> None:
    """Move modules out of /usr, where packages have them since Debian 13."""
    if (root / "usr/lib/modules").is_dir() and not (root / "lib/modules").exists():
        (root / "lib").mkdir(exist_ok=True)
        (root / "usr/lib/modules").rename(root / "lib/modules")


def _field(path: Path, name: str) -> str:
    try:
        return read_tool(["dpkg-deb", "-f", str(path), name]).strip()
    except CommandFailed as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: CommandFailed) -> UsageError:
    return UsageError(f"kernel {path} is no Debian package that can be read: {error.last}")
