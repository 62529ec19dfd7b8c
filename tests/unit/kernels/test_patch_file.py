"""Which files a patch touches, where it does not apply, and which modules are made of those files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.kernels.kbuild import CORE, Built, Makefiles
from harness.kernels.kernel_source import is_near
from harness.kernels.patch_file import apply, read_patch, touched_by
from harness.model.errors import UsageError

needs_patch = pytest.mark.skipif(shutil.which("patch") is None, reason="needs the tool patch (apt-get install patch)")

ONE, TWO = "int one;\nint two;\nint three;\n", "int one;\nint three;\n"


def diff(path: str, *, old: str = "int two;", start: int = 1) -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -{start},3 +{start},2 @@\n int one;\n-{old}\n int three;\n"


def write(folder: Path, text: str, name: str = "x.patch") -> Path:
    (folder / name).write_text(text)
    return folder / name


MAIL = f"""\
From 0123 Mon Sep 17 00:00:00 2001
From: A Developer <a@example>
Subject: [PATCH] nbd: less

--- not a header
---
 drivers/block/nbd.c | 1 -

diff --git a/drivers/block/nbd.c b/drivers/block/nbd.c
{diff("drivers/block/nbd.c")}diff --git a/Documentation/nbd.rst b/Documentation/nbd.rst
{diff("Documentation/nbd.rst")}--\x20
2.39.5
"""


def test_a_mail_is_a_patch_and_what_is_no_code_is_left_out(tmp_path: Path) -> None:
    patch = read_patch(write(tmp_path, MAIL))
    assert patch.touched == ("drivers/block/nbd.c",)
    assert "Documentation" not in patch.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello\n", "is no patch: it has no hunk"),
        (diff("Documentation/x.rst"), "changes no code"),
        (diff("drivers/x.c").replace("-1,3", "-1,9"), "is damaged: "),
        (diff("Makefile"), "Makefile is at the top of the tree"),
    ],
)
def test_what_is_no_patch_of_code_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as error:
        read_patch(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_patch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x.patch cannot be read: No such file"):
        read_patch(tmp_path / "x.patch")


def test_files_that_a_later_patch_deletes_are_built_no_more(tmp_path: Path) -> None:
    gone = "--- a/fs/b.c\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-int one;\n"
    new = "--- /dev/null\n+++ b/fs/c.c\n@@ -0,0 +1,1 @@\n+int one;\n"
    first = read_patch(write(tmp_path, diff("fs/a.c") + diff("fs/b.c"), "1"))
    second = read_patch(write(tmp_path, gone + new, "2"))
    assert [path for _, path in touched_by([first, second])] == ["fs/a.c", "fs/c.c"]


@needs_patch
def test_patches_apply_one_after_the_other(tmp_path: Path) -> None:
    source = tmp_path / "tree/fs/a.c"
    source.parent.mkdir(parents=True)
    source.write_text(ONE)
    back = "--- a/fs/a.c\n+++ b/fs/a.c\n@@ -1,2 +1,3 @@\n int one;\n+int two;\n int three;\n"
    for text in (diff("fs/a.c"), back, diff("fs/a.c")):
        apply(read_patch(write(tmp_path, text)), tmp_path / "tree", "it", tmp_path / "log")
    assert source.read_text() == TWO
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["fs"]


@needs_patch
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (diff("fs/a.c", old="int x;"), "to linux 6.1: fs/a.c, hunk 1, line 1"),
        (diff("fs/nowhere.c"), "to linux 6.1: it has no fs/nowhere.c"),
        (diff("fs/b.c"), "to linux 6.1: fs/b.c has that change already"),
    ],
)
def test_a_patch_that_does_not_apply_says_where(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "tree/fs").mkdir(parents=True)
    (tmp_path / "tree/fs/a.c").write_text(ONE)
    (tmp_path / "tree/fs/b.c").write_text(TWO)
    with pytest.raises(UsageError, match=rf"x.patch does not apply {problem}$"):
        apply(read_patch(write(tmp_path, text)), tmp_path / "tree", "linux 6.1", tmp_path / "log")


CONFIG = 'CONFIG_X="gcc (x) 1"\n# CONFIG_N is not set\nCONFIG_NBD=m\nCONFIG_XFS=m\nCONFIG_XFS_QUOTA=y\nCONFIG_CORE=y\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A configured tree with modules of one file and of many, some below others, and code of the kernel itself."""
    files = {
        "config": CONFIG,
        "drivers/block/Makefile": "obj-$(CONFIG_NBD) += nbd.o\nobj-$(CONFIG_CORE) += core.o\nobj-$(CONFIG_N) += no.o\n",
        "drivers/block/nbd.c": '#include <linux/x.h>\n# include "nbd.h"\n',
        "drivers/block/nbd.h": "int x;\n",
        "drivers/block/core.c": "#include <linux/nbd.h>\n#include <deep/far.h>\n",
        "drivers/block/deep/far.h": "",
        "fs/xfs/Makefile": (
            "obj-$(CONFIG_XFS) += xfs.o\nxfs-y += a.o $(addprefix libxfs/, b.o)\nxfs-$(CONFIG_XFS_QUOTA) += q.o\n"
            "xfs-$(CONFIG_XFS_RT) += rt.o\nccflags-y += $(call cc-option, -Wx)\n"
        ),
        "fs/xfs/a.c": '#include "outer.h"\n',
        "fs/xfs/outer.h": '#include "libxfs/inner.h"\n',
        "fs/xfs/libxfs/inner.h": "",
        "fs/one/Kbuild": "obj-m := one.o two.o\none-objs := o.o\n",
        "fs/one/Makefile": "obj-y += wrong.o\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "built"),
    [
        ("drivers/block/nbd.c", {Built("drivers/block", "nbd")}),
        ("drivers/block/nbd.h", {Built("drivers/block", "nbd")}),
        ("drivers/block/core.c", {Built("drivers/block", CORE)}),
        ("drivers/block/deep/far.h", {Built("drivers/block", CORE)}),
        ("drivers/block/no.c", set()),
        ("drivers/block/Makefile", {Built("drivers/block", "nbd"), Built("drivers/block", CORE)}),
        ("fs/xfs/q.c", {Built("fs/xfs", "xfs")}),
        ("fs/xfs/rt.c", set()),
        ("fs/xfs/libxfs/b.c", {Built("fs/xfs", "xfs")}),
        ("fs/xfs/libxfs/inner.h", {Built("fs/xfs", "xfs")}),
        ("fs/one/o.c", {Built("fs/one", "one")}),
        ("fs/one/two.c", {Built("fs/one", "two")}),
        ("fs/one/wrong.c", set()),
    ],
)
def test_what_a_file_is_built_into_is_what_make_says(tree: Path, path: str, built: set[Built]) -> None:
    assert Makefiles(tree, tree / "config").built_from(path) == built


def test_asking_leaves_nothing_in_the_tree(tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    Makefiles(tree, tree / "config").built_from("fs/xfs/a.c")
    assert sorted(tree.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("drivers/nvme/host/core.c", True),
        ("drivers/nvme/host/deep/x.c", True),
        ("drivers/nvme/Makefile", True),
        ("drivers/Makefile", True),
        ("drivers/nvme/target/nvmet.h", True),
        ("drivers/nvme/target/core.c", False),
        ("drivers/block/nbd.c", False),
        ("Makefile", False),
    ],
)
def test_what_of_the_source_a_build_may_read(path: str, near: bool) -> None:
    assert is_near(path, ["drivers/nvme/host"]) is near
