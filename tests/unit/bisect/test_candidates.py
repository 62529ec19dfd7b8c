"""What can be bisected: a list of sides, a series of patches, the commits of a tree, and how commits are built."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.bisect.candidates import Candidate, Candidates, read_list, read_series
from harness.bisect.log import NAME, BisectLog
from harness.bisect.loop import Bisection, Untestable
from harness.bisect.state import Setting, State
from harness.bisect.tree import Builder, GitTree
from harness.model.errors import UsageError
from harness.model.overrides import parse_overrides
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore
from harness.statistics.orders import Chain, Graph


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A list with a remark, a file beside it, and a blank line."""
    (tmp_path / "nbd.ko").touch()
    path = tmp_path / "kernels.txt"
    path.write_text("# oldest first\ndebian:11\n\ndebian:12 module=nbd.ko\nkernel=debian:13 cmdline='a b'\n")
    return path


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@x.invalid", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str, *parents: str) -> str:
    """A commit with the file `version`, that says `text`."""
    (folder / "version").write_text(text)
    git(folder, "add", "version")
    git(folder, "commit", "-q", "-m", f"say {text}")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Commits 0 to 3, of which 2 does not build, and on the way a side branch that is merged: 4."""
    folder = tmp_path / "linux"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number in range(3):
        commit(folder, str(number))
        git(folder, "tag", f"v{number}")
    git(folder, "checkout", "-q", "-b", "side", "v1")
    (folder / "other").write_text("x")
    git(folder, "add", "other")
    git(folder, "commit", "-q", "-m", "aside")
    git(folder, "tag", "aside")
    git(folder, "checkout", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "take it", "side")
    git(folder, "tag", "v4")
    return folder


def test_the_lines_of_a_list_are_sides_by_their_numbers(kernels: Path) -> None:
    found = read_list(kernels, good=None, bad=None)
    assert [side.key for side in found.sides] == ["2", "4", "5"]
    assert found.sides[1].title == "debian:12 module=nbd.ko"
    assert parse_overrides(found.sides[1].side, base=Path("/"), place="x").module == (str(kernels.with_name("nbd.ko")),)
    assert isinstance(found.order, Chain)


def test_ends_are_named_by_line_and_a_good_one_below_turns_the_list_around(kernels: Path) -> None:
    assert [side.key for side in read_list(kernels, good="4", bad=None).sides] == ["4", "5"]
    assert [side.key for side in read_list(kernels, good="5", bad="2").sides] == ["5", "4", "2"]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [("3", None, "--good 3: no such line of .*kernels.txt; they are 2 to 5"), ("4", "4", "nothing to bisect")],
)
def test_ends_that_cannot_be_are_told(kernels: Path, good: str | None, bad: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_list(kernels, good=good, bad=bad)


def test_a_line_that_is_no_side_is_told_with_its_place(kernels: Path) -> None:
    kernels.write_text("stock\nkernal=debian:12\n")
    with pytest.raises(UsageError, match=r"kernels.txt:2: unknown word 'kernal'"):
        read_list(kernels, good=None, bad=None)


def test_a_series_is_none_of_its_patches_then_one_more_each_time(tmp_path: Path) -> None:
    for name in ("0001-a.patch", "0002-b.patch"):
        (tmp_path / name).touch()
    found = read_series(tmp_path, good=None, bad=None)
    assert [(side.key, side.title) for side in found.sides] == [
        ("0", "no patch"),
        ("1", "0001-a.patch"),
        ("2", "0002-b.patch"),
    ]
    assert [len(parse_overrides(side.side, base=tmp_path, place="x").patch) for side in found.sides] == [0, 1, 2]
    (tmp_path / "series").write_text("# of quilt\n0002-b.patch -p1\n0001-a.patch\n")
    assert [side.title for side in read_series(tmp_path, good=None, bad=None).sides[1:]] == [
        "0002-b.patch",
        "0001-a.patch",
    ]


def test_a_series_that_lacks_a_patch_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \*\.patch there"):
        read_series(tmp_path, good=None, bad=None)
    (tmp_path / "series").write_text("gone.patch\n")
    with pytest.raises(UsageError, match=r"gone\.patch is not there"):
        read_series(tmp_path, good=None, bad=None)


def test_commits_come_with_their_titles_and_merges_keep_their_branches_apart(tree: Path) -> None:
    found = GitTree(tree).candidates("v1", "v4", first_parent=False)
    titles = [side.title for side in found.sides]
    assert titles[0] == "say 1"
    assert sorted(titles[1:3]) == ["aside", "say 2"]
    assert titles[3] == "take it"
    assert isinstance(found.order, Graph)
    places = {side.title: place for place, side in enumerate(found.sides)}
    assert not found.order.affected(places["aside"])[places["say 2"]]
    assert found.order.affected(places["take it"]).all()


def test_of_the_main_line_only_the_merges_are_bisected(tree: Path) -> None:
    found = GitTree(tree).candidates("v1", "v4", first_parent=True)
    assert [side.title for side in found.sides] == ["say 1", "say 2", "take it"]
    assert isinstance(found.order, Chain)


def test_a_plan_of_commits_survives_being_written(tree: Path) -> None:
    found = GitTree(tree).candidates("v1", "v4", first_parent=False)
    assert Candidates.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("v9", "v4", "--good v9: no such commit"),
        ("--all", "v4", "--good --all: no such commit"),
        ("aside", "v2", "--good aside is no ancestor of --bad v2; give their merge base: --good [0-9a-f]{12}$"),
        ("v1", "v1", "nothing to bisect"),
    ],
)
def test_commits_that_cannot_be_ends_are_told(tree: Path, good: str, bad: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GitTree(tree).candidates(good, bad, first_parent=False)


def test_a_folder_that_is_no_tree_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--tree .*: fatal: not a git repository"):
        GitTree(tmp_path)


def test_a_commit_is_built_in_a_worktree_of_its_own_and_once_however_often_it_is_run(tree: Path) -> None:
    (tree / ".config").write_text("CONFIG_NBD=m\n")
    run = tree.parent / "run"
    run.mkdir()
    git_tree = GitTree(tree)
    commits = git_tree.candidates("v0", "v2", first_parent=False).sides
    builder = Builder(git_tree, "cat version .config >> built && test $(cat version) != 2", "kernel=.", run)
    sides = [builder.side(commits[1]), builder.side(commits[1])]
    assert sides[0] == sides[1]
    assert (Path(str(sides[0].kernel)) / "built").read_text() == "1CONFIG_NBD=m\n"
    with pytest.raises(Untestable, match=r"module 'nbd\.ko' is not there"):
        Builder(git_tree, "true", "module=nbd.ko", run).side(commits[1])
    with pytest.raises(Untestable, match=f"does not build: .*see builds/{commits[2].key[:12]}.log"):
        builder.side(commits[2])
    assert git(tree, "rev-parse", "HEAD") == git(tree, "rev-parse", "v4")
    assert (tree / "version").read_text() == "2"
    builder.clear()
    assert not (run / "tree").exists()
    assert "tree" not in git(tree, "worktree", "list").replace(str(tree), "")


def test_git_can_replay_the_log_of_a_bisected_tree(tree: Path) -> None:
    git_tree = GitTree(tree)
    candidates = git_tree.candidates("v0", "v4", first_parent=False)
    culprit = git(tree, "rev-parse", "aside")
    order, places = candidates.order, {side.key: place for place, side in enumerate(candidates.sides)}

    class Bench:
        def run(self, side: Candidate) -> TrialStore:
            bad = bool(order.affected(places[side.key])[places[culprit]])
            trial = store.trial(side.key)
            kind = VerdictKind.DEADLOCKED if bad else VerdictKind.SURVIVED
            trial.write_verdict(Verdict(kind=kind, summary="so it is"), {})
            return trial

    store = RunStore.create(tree.parent, manifest={})
    log = BisectLog(store.path / NAME)
    conclusion = Bisection(State(candidates, Setting()), log, store, Bench(), lambda text: None).run()
    assert [candidates.sides[place].key for place in conclusion.answer.culprits] == [culprit]
    git(tree, "bisect", "replay", str(log.path))
    assert git(tree, "rev-parse", "refs/bisect/bad") == culprit
    assert "is the first bad commit" in git(tree, "bisect", "good", "v1")
