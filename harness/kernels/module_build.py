"""Compiles modules of a distribution's kernel: with its headers, which are not installed, and its compiler."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.artifacts.run_tool import CommandFailed, find_tool, read_tool, run_tool
from harness.kernels.kernels import Kernel
from harness.model.errors import HostEnvironmentError, UsageError

# With a srcversion, /sys/module/<name>/srcversion in a guest shows that it runs this build; distributions leave it out.
# BTF takes pahole, and would be made if the headers come with a vmlinux (Debian's 6.12.117 and later).
_OPTIONS = ("CONFIG_MODULE_SRCVERSION_ALL=y", "CONFIG_DEBUG_INFO_BTF_MODULES=")
_OTHER_HALF = re.compile(r"^include (\S+)/Makefile$", re.MULTILINE)
_ERROR = re.compile(r"\b(error|ERROR): |: not found$")


def unpack_headers(headers: Path, root: Path, kernel: Kernel, log: Path) -> Path:
    """Unpack the packages of the cache entry `headers` below `root`; returns the folder for make's `-C`."""
    for package in sorted(headers.glob("*.deb")):
        run_tool(["dpkg-deb", "-x", str(package), str(root)], log=log)
    build_tree = root / "usr/src" / f"linux-headers-{kernel.release}"
    makefile = build_tree / "Makefile"
    # The package expects to be installed: its Makefile names its other half, and since v6.13 itself, by absolute path.
    text = re.sub(r"(?<=[\s=])/usr/(src|lib)/", rf"{root}/usr/\1/", makefile.read_text(encoding="utf-8"))
    makefile.write_text(text, encoding="utf-8")
    return build_tree


def merge_headers(build_tree: Path) -> Path:
    """One source tree, prepared for modules, of the two halves of unpacked headers; returns its top.

    Flags in a folder's own Makefile, such as `-I $(srctree)/$(src)` before v6.10, are right only in such a tree.
    """
    other = _OTHER_HALF.search((build_tree / "Makefile").read_text(encoding="utf-8"))
    assert other is not None, "the Makefile of a headers package includes that of its other half"
    common = Path(other[1])
    (build_tree / "Makefile").unlink()
    for name in ("scripts", "tools"):  # links, to the same folders as those of the other half
        (build_tree / name).unlink()
    shutil.copytree(build_tree, common, dirs_exist_ok=True)
    return common


def make_modules(build_tree: Path, source: str, kernel: Kernel, what: str, log: Path) -> None:
    """Compile the modules of the folder `source`.

    Raises UsageError that names `what` and its first error, HostEnvironmentError if that may be the compiler's fault.
    """
    if re.search(r"[\s:]", f"{build_tree}{source}"):
        problem = f"make takes no blank or colon in {build_tree}"
        raise HostEnvironmentError(problem, remedy="choose another XDG_CACHE_HOME")
    argv = ["make", "-C", str(build_tree), f"M={source}", f"CC={compiler(kernel)}", *_OPTIONS, "modules"]
    errors: list[str] = []

    def note(line: str) -> None:
        if _ERROR.search(line):
            errors.append(line.strip())

    try:
        run_tool(argv, log=log, on_line=note)
    except CommandFailed as error:
        problem = f"{what} does not compile for {kernel.release}: {errors[0] if errors else error.last}"
        if compiler(kernel) == _wanted_compiler(kernel):
            raise UsageError(problem) from error
        remedy = f"that kernel wants {_wanted_compiler(kernel)}, which this machine does not have; install it"
        raise HostEnvironmentError(problem, remedy=remedy) from error


def compiler(kernel: Kernel) -> str:
    """The compiler that the kernel was built with if this machine has it, else its own gcc."""
    wanted = _wanted_compiler(kernel)
    if shutil.which(wanted) is None:
        find_tool("gcc")
        return "gcc"
    return wanted


def compiler_version(kernel: Kernel) -> str:
    """The version string of that compiler."""
    return read_tool([compiler(kernel), "--version"]).splitlines()[0]


def _wanted_compiler(kernel: Kernel) -> str:
    """`gcc-12` of a kernel that says CONFIG_CC_VERSION_TEXT="gcc-12 (Debian …"; "gcc" if it says nothing like it."""
    config = kernel.config.read_text(encoding="utf-8")
    named = re.search(r'^CONFIG_CC_VERSION_TEXT="\S*?(gcc-\d+) ', config, re.MULTILINE)
    return named[1] if named else "gcc"
