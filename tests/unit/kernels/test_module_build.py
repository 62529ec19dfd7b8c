"""How a distribution's headers become a tree in which modules can be made."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.kernels.module_build import make_modules, merge_headers, unpack_headers
from harness.model.errors import UsageError

RELEASE = "6.1.0-1-amd64"
HALVES = {
    "Debian 12": "include /usr/src/linux-headers-6.1.0-1-common/Makefile\n",
    "Debian 14": (
        f"KBUILD_OUTPUT=/usr/src/linux-headers-{RELEASE}\ninclude /usr/src/linux-headers-6.1.0-1-common/Makefile\n"
    ),
}


def headers(folder: Path, makefile: str) -> Path:
    """The packages of a kernel's headers, with one file of each kind."""
    own, common = f"usr/src/linux-headers-{RELEASE}", "usr/src/linux-headers-6.1.0-1-common"
    files = {
        f"own/{own}/Makefile": makefile,
        f"own/{own}/.config": "CONFIG_X=y\n",
        f"own/{own}/include/generated/autoconf.h": "generated\n",
        f"common/{common}/Makefile": "all:\n",
        f"common/{common}/include/linux/fs.h": "header\n",
        "kbuild/usr/lib/linux-kbuild-6.1/scripts/Makefile.build": "script\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for half in (f"own/{own}", f"common/{common}"):
        for name in ("scripts", "tools"):
            (folder / half / name).symlink_to(f"../../lib/linux-kbuild-6.1/{name}")
    (folder / "debs").mkdir()
    for name in ("own", "common", "kbuild"):
        (folder / name / "DEBIAN").mkdir()
        control = f"Package: linux-{name}\nVersion: 1\nArchitecture: all\nMaintainer: me <me@example>\nDescription: x\n"
        (folder / name / "DEBIAN/control").write_text(control)
        deb = folder / "debs" / f"{name}.deb"
        subprocess.run(["dpkg-deb", "-Znone", "--build", folder / name, deb], check=True, capture_output=True)
    return folder / "debs"


@pytest.mark.parametrize("makefile", HALVES.values(), ids=HALVES)
def test_the_halves_of_unpacked_headers_find_each_other_and_make_one_tree(tmp_path: Path, makefile: str) -> None:
    kernel: Any = SimpleNamespace(release=RELEASE)
    root = tmp_path / "root"
    build_tree = unpack_headers(headers(tmp_path, makefile), root, kernel, tmp_path / "log")
    text = (build_tree / "Makefile").read_text()
    assert text.count(f"{root}/usr/src/") == makefile.count("/usr/src/"), "nothing of the machine's own is meant"
    top = merge_headers(build_tree)
    for name in ("include/linux/fs.h", "include/generated/autoconf.h", ".config", "scripts/Makefile.build"):
        assert (top / name).is_file()
    assert (top / "Makefile").read_text() == "all:\n"


def make(tmp_path: Path, rule: str) -> None:
    """make_modules() with a tree whose configuration wants type information for BPF, and this as its rule."""
    (tmp_path / "Makefile").write_text(f"CONFIG_DEBUG_INFO_BTF_MODULES=y\nmodules:\n\t@{rule}\n")
    (tmp_path / "config").write_text("")
    kernel: Any = SimpleNamespace(release=RELEASE, config=tmp_path / "config")
    make_modules(tmp_path, "net", kernel, "variant x", tmp_path / "log")


def test_modules_are_made_without_type_information_for_bpf(tmp_path: Path) -> None:
    make(tmp_path, "$(if $(CONFIG_DEBUG_INFO_BTF_MODULES),no-such-pahole -J,true)")


def test_a_tool_that_is_missing_is_what_did_not_compile(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^variant x does not compile for .*: no-such-tool: not found$"):
        make(tmp_path, "no-such-tool; false")
