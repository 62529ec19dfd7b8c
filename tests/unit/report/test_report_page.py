"""The report: complete, self-contained, and unmoved by what guests print."""

from __future__ import annotations

import re
import shutil
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import (
    DEADLOCKED,
    HEALTHY,
    SURVIVED,
    Plot,
    counter_events,
    finding,
    opinion,
    phase,
    record,
    rung_events,
    write_run,
)

from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.history import Event, Kind, Rung
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.report import page as report_page
from harness.report import write_report
from harness.results.store import RunStore

VOID = {"meta", "wbr", "link", "br", "img", "input", "hr"}
# fmt: off
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "header", "section", "p", "h1", "h2", "h3", "h4", "dl", "div",
    "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "a", "span", "strong", "ol", "ul", "li", "code", "figure",
    "figcaption", "details", "summary", "pre", "wbr", "svg", "g", "path", "rect", "text", "defs", "pattern",
    "clippath", "use",
}
# fmt: on


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails on what is not nested."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check_harmless(source: str) -> Page:
    """Nothing in the page acts, loads or hides."""
    page = Page(source)
    assert set(page.tags) <= KNOWN
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#") for name, value in page.attributes if name in {"href", "xlink:href"})
    assert not re.search(r"url\((?!#)|@import|<!\[CDATA|javascript:", source.replace("&#", ""))
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in source)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return write_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(run: RunStore) -> Page:
    return check_harmless(write_report(run.path).read_text(encoding="utf-8"))


@pytest.fixture
def new_run(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path, manifest={"kernel": "6.1"})


def render(run: RunStore) -> Page:
    return check_harmless(write_report(run.path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "words",
    [
        "3 trials on kernel 6.1.0-42-amd64: 2 as expected, 1 without a verdict.",
        "nbd.ko: variant no-memalloc",
        "no verdict: the run was cut short; the last event was recorded at 24.2 s",
        "swap over nbd0 stopped at 18.2 s and did not come back",
        "client/storage was blocked from 18.0 s on",
        "onset: last progress at 18.2 s",
        "certain at 27.1 s, 8.9 s later",
        "blocked from 18.0 s",
        "fault injected: link-pull: cluster link of the server is down",
        "recovery probe: progress did not come back: storage blocked for 29 s",
        "task fill:410 blocked for more than 20 seconds",
        "(3 times, last at 50.3 s)",
        "sysrq: Show Blocked State",
        "left out: only the first 16 KiB and the last 16 KiB are shown",
        "there is no such file in the run",
        "no room on the host for 512 MiB",
        "Linux version 6.1.0-42-amd64",
        "Can a new process be created?",
        "answered within 1 s",
        "load 13.0–24.2 s (its end was not recorded)",
        "pages/s",
    ],
)
def test_the_page_tells_the_story(page: Page, words: str) -> None:
    assert words in page.text


def test_every_trial_has_a_drawing_with_text_as_text(page: Page) -> None:
    assert [value for name, value in page.attributes if name == "aria-label"] == [
        "Timeline of testcases/test_nbd_swap.py::test_stock",
        "Timeline of testcases/test_nbd_swap.py::test_loopback[4xRAM]",
        "Timeline of testcases/test_nbd_swap.py::test_patch_undone",
    ]
    assert page.texts.count("heartbeat") >= 3 * 2


def test_the_report_depends_on_the_files_alone(run: RunStore, tmp_path: Path) -> None:
    first = write_report(run.path).read_text()
    moved = tmp_path / run.name
    shutil.copytree(run.path, moved)
    (moved / "report.html").unlink()
    assert write_report(moved).read_text() == first


HOSTILE = [
    "<script>alert(1)</script>",
    "]]><!--",
    "\x1b[31mred\x1b]0;t\x07",
    "\u202eoverride",
    "NUL\x00.",
    "$x^2$ \\frac{",
    "lone\ud800",
    "\"><img src=x onerror=alert(1)>'",
    "{{ 7 * 7 }} {% raw %}",
    "</pre></details></svg></style>",
    "漢字 \U0001f4a5",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_a_guest_can_put_it(new_run: RunStore, text: str) -> None:
    trial = new_run.trial(f"test::x[{text}]", expected="deadlock")
    file_name = text.replace("/", "_").replace("\0", "_").replace("\ud800", "_")
    (trial.evidence / file_name).write_bytes(b"evidence " + text.encode("utf-8", "surrogatepass") + b"\xff")
    trial.console("client").write_bytes(b"console " + text.encode("utf-8", "surrogatepass") + b"\xfe")
    data = {"name": text, "path": f"evidence/{file_name}", "ok": False, "detail": text}
    more = {"function": text, "task": text, "pid": text, "cpu": text, "time_s": text, "stack": [text], "line": text}
    plot = Plot(length=12, blocks={}, rate=lambda t: 9, latency=lambda rung, t: HEALTHY[rung])
    events = [
        *rung_events(text, tuple(Rung), plot),
        *counter_events(text, plot, label=text),
        finding(3, text, text, text, **more),
        finding(3, text, "oops", "odd", stack=7),
        opinion(4, "suspect", 3.0, text),
        opinion(5, text, None, text),
        Event(6, Kind.EVIDENCE, text, data),
        Event(6, Kind.FAULT, text, {"name": text, "action": text, "detail": text}),
        Event(6, Kind.NOTE, text, {"text": text}),
        Event(6, Kind.INFRA, text, {"error": text}),
        Event(6, Kind.RECOVERY, text, {"step": text, "detail": text}),
        Event(6, Kind.RUNG, text, {"rung": text, "ok": text}),
        *phase(text, 1, 9),
    ]
    record(trial, events)
    verdict = Verdict(kind=VerdictKind.DEADLOCKED, summary=text, reasons=(text,), blocked=(text,), alive=(text,))
    trial.write_verdict(verdict, {})
    new_run.merge_manifest({"kernel": text, text: {text: [text]}})
    page = render(new_run)
    assert "49" not in page.text.split()
    assert "evidence" in page.text


def test_hostile_text_is_shown_and_not_lost(new_run: RunStore) -> None:
    trial = new_run.trial("t")
    trial.append(opinion(1, "suspect", None, " ".join(HOSTILE)))
    text = render(new_run).text
    for shown in (
        "<script>alert(1)</script>",
        "]]><!--",
        "red",
        "\\u202eoverride",
        "NUL\\x00.",
        "$x^2$",
        "lone\\ud800",
    ):
        assert shown in text


def test_dollars_in_a_drawing_are_not_mathematics(new_run: RunStore) -> None:
    trial = new_run.trial("t")
    plot = Plot(length=12, blocks={}, rate=lambda t: 9, latency=lambda rung, t: HEALTHY[rung])
    record(trial, [*rung_events("$x^2$", (Rung.NET,), plot), *counter_events("$x^2$", plot, label="$y_1$")])
    page = render(new_run)
    assert "$x^2$" in page.texts
    assert "$y_1$/s" in page.texts


def test_known_hardware_of_a_link_stands_beside_the_verdict(new_run: RunStore) -> None:
    known = {"device": "mthca0", "what": "it <stops>", "way_out": "buy another", "source": "a page", "links": ["lan"]}
    record(new_run.trial("t"), [Event(1, Kind.HOST, "ib1", {"facts": {"known_bad": [known]}})])
    assert "Known hardware: ib1, link lan over mthca0: it <stops>; buy another [a page]" in render(new_run).text


def test_evidence_outside_the_trial_is_never_read(new_run: RunStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for the page")
    trial = new_run.trial("t")
    (trial.evidence / "link").symlink_to(tmp_path / "secret")
    paths = (str(tmp_path / "secret"), "../../../secret", "evidence/link", "a\0b", 7, "x" * 5000)
    record(trial, [Event(1, Kind.EVIDENCE, "", {"name": "n", "path": path, "ok": True}) for path in paths])
    assert "not for the page" not in render(new_run).text


def test_a_run_killed_before_anything_was_recorded(new_run: RunStore) -> None:
    new_run.trial("t")
    text = render(new_run).text
    assert "no verdict: the run was cut short" in text
    assert "no events were recorded" in text


def test_the_plan_of_a_selftest_is_told_in_short(new_run: RunStore) -> None:
    plan = {"seed": 7, "trials": [f"live.cpu/{n}" for n in range(300)], "errors": {"live.cpu/1": "no guest"}}
    new_run.merge_manifest({"selftest": plan})
    header = write_report(new_run.path).read_text().split("</header>")[0]
    assert "<dd>seed: 7; trials: 300</dd>" in header


def test_a_run_without_trials(new_run: RunStore) -> None:
    assert "This run has no trials." in render(new_run).text


def test_damaged_files_are_named_and_the_rest_is_shown(new_run: RunStore) -> None:
    trial = new_run.trial("t")
    record(trial, [opinion(1, "running"), opinion(2, "suspect", 1.0, "why not")])
    with trial.history_path.open("a") as file:
        file.write("garbage\n")
    trial.verdict_path.write_text('{"verdict": "SURV')
    (new_run.path / "manifest.json").write_text("{")
    text = render(new_run).text
    assert "no verdict: verdict.json is damaged" in text
    assert "manifest.json: damaged" in text
    assert "damaged lines: 1, left out; the first is line 3" in text
    assert "the watch suspects a hang" in text


def test_a_verdict_file_with_odd_fields_is_no_crash(new_run: RunStore) -> None:
    trial = new_run.trial("t")
    trial.verdict_path.write_text('{"verdict": 7, "onset_s": "x", "stalls": [1, {}], "reasons": "no", "wall_s": null}')
    assert "NO VERDICT" not in render(new_run).text


def test_stalls_are_listed(new_run: RunStore) -> None:
    trial = new_run.trial("t")
    trial.write_verdict(
        Verdict(
            kind=VerdictKind.STALLED, summary="two stalls", stalls=(Stall(9.0, 31.5, True), Stall(70.0, 8.0, False))
        ),
        {},
    )
    text = render(new_run).text
    assert "no progress from 9.0 s for 31.5 s" in text
    assert "no progress from 70.0 s for 8.0 s; it did not come back" in text
    assert "1 trial on kernel 6.1: 0 as expected, 1 not as expected." in text


def test_a_long_restless_trial_stays_below_a_megabyte(new_run: RunStore) -> None:
    trial = new_run.trial("long")
    plot = Plot(length=600, blocks={}, rate=lambda t: 5000, latency=lambda rung, t: (0.1, 2.0, 9.0)[int(t * 7) % 3])
    events = [event for host in "abc" for event in rung_events(host, tuple(Rung), plot, seed=ord(host))]
    events += [event for host in "abc" for event in counter_events(host, plot)]
    events += [finding(t, "a", "oops", f"Oops {t}") for t in range(600)]
    record(trial, events)
    trial.write_verdict(SURVIVED, {})
    source = write_report(new_run.path).read_text()
    assert "400 more events left out; all are in history.jsonl." in source
    assert "400 more findings left out; all are in history.jsonl." in source
    drawing = source[source.index('<svg viewBox="0 0 1200') : source.rindex("</svg>")]
    assert len(drawing.encode()) < 1_000_000
    check_harmless(source)


def test_writing_into_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        write_report(tmp_path)


def test_a_full_disk_leaves_the_old_report(new_run: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(new_run.path)
    before = path.read_bytes()
    new_run.trial("t").write_verdict(DEADLOCKED, {})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HostEnvironmentError, match=r"cannot write .*report\.html"):
        write_report(new_run.path)
    assert path.read_bytes() == before


def test_machines_are_told_apart_from_guests() -> None:
    guest = {"kernel": "6.1", "kernel_package": "6.1-1", "image_digest": "ab", "accelerator": "tcg"}
    owned = {"kind": "physical", "address": "192.0.2.11", "kernel_from": "owner"}
    booted = {**owned, "kernel_from": "debian:12", "kernel": "6.1.0-57"}
    facts = dict(report_page._guests({"x": {"hosts": {"g1": guest, "ib1": owned, "ib2": booted}}}))
    assert facts["machines"] == "ib1 at 192.0.2.11, its owner's kernel, ib2 at 192.0.2.11, kernel 6.1.0-57"
    assert facts["guests' kernel"] == "6.1 (package 6.1-1)" and facts["accelerator"] == "tcg"
    assert set(dict(report_page._guests({"x": {"hosts": {"ib1": owned}}}))) == {"machines"}
