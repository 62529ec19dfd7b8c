"""Console logs with known answers: our own runs', and a larger corpus beside the checkout where there is one.

`own/` holds consoles that the self-test recorded, one for each kind; the answers in `own/console.tsv` follow from what
was done to the guest, not from what the harness said. The other corpus has logs that nobody here wrote:
`$HARNESS_CORPUS`, or `../shared/corpus` beside the checkout.
"""

from __future__ import annotations

import csv
import lzma
import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.model.hang_classes import HangClass

OWN = Path(__file__).with_name("own")
OTHER = Path(os.environ.get("HARNESS_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
CORPORA = tuple(folder for folder in (OWN, OTHER) if (folder / "console.tsv").is_file())
NO_HANG = "none"
# What the line `# concluded:` of each log says, as a class.
CONCLUDED = {
    "03-nfs-loopback-shrinker-rwsem-nfsd-mutex": HangClass.LOOPBACK_NFS_RECLAIM,
    "04-nfsd4-laundromat-shutdown-callback": HangClass.UNKNOWN,
    "05-nfsd-write-rwsem-after-callback-storm": HangClass.PROCESSOR_STUCK,
    "06-nfsd-filecache-mark-soft-lockup": HangClass.PROCESSOR_STUCK,
    "09-nfs4-mount-dead-server-blocks-others": HangClass.NFS_SERVER_UNREACHABLE,
    "11-nfs-umount-server-turned-off": HangClass.NFS_SERVER_UNREACHABLE,
    "12-nfs-write-io-request-leak": HangClass.UNKNOWN,
    "15-loop-global-workqueue-recursion-max-active": HangClass.WORKQUEUE_STARVATION,
    "16-loop-swapfile-ext4-journal-reclaim-cycle": HangClass.JOURNAL_COMMIT_STUCK,
    "17-xfs-writeback-memcg-reclaim-page-lock": HangClass.MEMCG_RECLAIM,
    "19-xfs-buf-alloc-congestion-wait-bulk-allocator": HangClass.UNKNOWN,
    "20-iscsi-target-two-threads-free-session": HangClass.UNKNOWN,
    "23-md-on-dm-integrity-overlapping-io": HangClass.BLOCK_REQUEST_STUCK,
    "24-xfs-dm-writecache-raid5-overload": HangClass.BLOCK_REQUEST_STUCK,
    "27-blk-mq-dispatch-loop-workqueue-lockup": HangClass.WORKQUEUE_STARVATION,
    "28-qla2xxx-abort-hard-lockup": HangClass.PROCESSOR_STUCK,
}


@dataclass(frozen=True)
class Log:
    """One log of a corpus: its answer, and the bytes that the code under test may see.

    `hang_class` is NO_HANG where nothing hangs, and "" where the answer does not say.
    """

    name: str
    category: str
    corrupted: bool
    functions: frozenset[str]
    hang_class: str
    data: bytes


def read_corpus(folder: Path) -> list[Log]:
    """The logs of a corpus, in the order of its table."""
    with (folder / "console.tsv").open(encoding="utf-8") as table:
        return [_read_log(folder, row) for row in csv.DictReader(table, delimiter="\t")]


@dataclass(frozen=True)
class Hang:
    """A log of a hang: the form that it has ("sysrq", "soft_lockup", …), the class that was concluded, its bytes."""

    name: str
    form: str
    concluded: str
    data: bytes


def read_hangs() -> list[Hang]:
    """The hangs of all corpora; that of others has them in files of their own, whose lines with # hold the answer."""
    own = [
        Hang(log.name, subcategory if log.category == "lockup_stall" else "sysrq", log.hang_class, log.data)
        for log, subcategory in zip(read_corpus(OWN), _column("subcategory"), strict=True)
        if log.hang_class not in ("", NO_HANG)
    ]
    return [*own, *(_read_hang(path) for path in sorted((OTHER / "hangs").glob("*.log")))]


def _column(name: str) -> list[str]:
    with (OWN / "console.tsv").open(encoding="utf-8") as table:
        return [row[name] for row in csv.DictReader(table, delimiter="\t")]


def _read_hang(path: Path) -> Hang:
    lines = path.read_bytes().split(b"\n")
    form = re.search(rb"^# kind: (\w+)", path.read_bytes(), re.MULTILINE)
    assert form is not None, path
    data = b"\n".join(line for line in lines if not line.startswith(b"#"))
    return Hang(path.stem, form[1].decode(), CONCLUDED.get(path.stem, NO_HANG), data)


def _read_log(folder: Path, row: dict[str, str]) -> Log:
    file = folder / "console" / row["file"]
    raw = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
    lines = raw.replace(b"\r", b"").split(b"\n")
    start = lines.index(b"")
    body = lines[start + 1 :]
    ends = [index for index, line in enumerate(body) if line == b"REPORT:" and index and body[index - 1] == b""]
    titles = re.findall(r"^(?:TITLE|ALT): .* (\S+)$", b"\n".join(lines[:start]).decode(), re.MULTILINE)
    return Log(
        name=row["file"],
        category=row["category"],
        corrupted=row["corrupted"] == "Y",
        functions=frozenset(titles),
        hang_class=row.get("class", ""),
        data=b"\n".join(body[: ends[0]] if ends else body),
    )
