"""The stages: what a verdict and its control come to, rounds of the soak, and a run that is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.fabric.golden import Golden
from harness.fabric.view import End, Fabric, Manager, Node, PortErrors
from harness.fabric.view import Link as Cable
from harness.inventory.inventory import Inventory
from harness.model.errors import InfraError, UsageError
from harness.model.settings import Settings
from harness.model.topology import Host, Link, Topology
from harness.model.verdict import Verdict, VerdictKind
from harness.qualify import pressure_stage, qualification, soak_stage
from harness.qualify.cases import PRESSURE
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.fabric_stage import checks_of as checks_of_fabric
from harness.qualify.ground import Ground, links_of
from harness.qualify.outcome import changes, decide
from harness.qualify.qualification import STAGES, begin, checks_of, ended, run
from harness.qualify.trials import Outcome
from harness.results.store import RunStore
from harness.trial.plan import Plan

FABRIC = Link(name="fabric", hosts=("a", "b"))
GOOD = Outcome(slug="t", verdict=Verdict(kind=VerdictKind.SURVIVED, summary="done"), hours=1.0)
HUNG = Outcome(slug="t", verdict=Verdict(kind=VerdictKind.DEADLOCKED, summary="stopped"), title="swap over network")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "s", cache=tmp_path / "c", results=tmp_path / "r")


def inventory_of(tmp_path: Path, *names: str) -> Inventory:
    hosts = {name: Host(name=name, memory=1) for name in names}
    link = Link(name="fabric", hosts=names)
    topology = Topology(name="pair", hosts=tuple(hosts.values()), roles={"client": names[0]}, links=(link,))
    return Inventory(path=tmp_path / "rack.toml", topologies={"pair": topology}, hosts=hosts)


def ground_of(tmp_path: Path, settings: Settings) -> Ground:
    hosts = tuple(inventory_of(tmp_path, "a", "b").hosts.values())
    store = RunStore.create(settings.results, manifest={})
    return Ground(settings=settings, store=store, hosts=hosts, links=(FABRIC,), hours=1.0, say=lambda _: None)


def answers(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, Outcome]) -> list[str]:
    """Trials whose name has one of the words end as told, the others survive; the list gets the names."""
    names: list[str] = []

    def outcome(_: Ground, plan: Plan) -> Outcome:
        names.append(plan.name)
        return next((one for words, one in told.items() if plan.name.endswith(words)), GOOD)

    monkeypatch.setattr(pressure_stage, "outcome_of", outcome)
    monkeypatch.setattr(soak_stage, "outcome_of", outcome)
    return names


def test_every_case_is_run_both_ways_and_controls_only_where_one_did_not_survive(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = answers(monkeypatch, {"swap over the network, a to b over fabric": HUNG})
    checks = pressure_stage.press(ground_of(tmp_path, settings))
    linked = [case for case in PRESSURE if case.linked]
    assert len(checks) == 2 * len(PRESSURE), "each case on each pair of the ring, or host"
    assert [name for name in names if name.endswith("control")] == [
        "swap over the network, a to b over fabric, control"
    ]
    failed = [check for check in checks if check.grade is Grade.FAIL]
    assert [(check.hosts, check.link, check.what) for check in failed] == [(("a", "b"), "fabric", linked[0].name)]
    assert failed[0].reason.startswith(linked[0].blames) and "swap over network" in failed[0].reason
    assert "its control survived" in failed[0].reason and failed[0].remedy == "driver and hardware of the link"


def test_a_host_whose_control_hangs_as_well_is_not_blamed_on_its_link(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, {"swap over the network, a to b over fabric": HUNG, "a to b over fabric, control": HUNG})
    failed = [check for check in pressure_stage.press(ground_of(tmp_path, settings)) if check.grade is Grade.FAIL]
    assert "did not survive either" in failed[0].reason and failed[0].remedy == "the host itself, before its links"


@pytest.mark.parametrize(
    ("outcome", "grade"),
    [
        (Outcome(problem="host a lacks iperf3"), Grade.NOT_SHOWN),
        (Outcome(verdict=Verdict(kind=VerdictKind.INCONCLUSIVE, summary="no agent")), Grade.NOT_SHOWN),
        (Outcome(verdict=Verdict(kind=VerdictKind.OOM_KILLED, summary="too small")), Grade.NOT_SHOWN),
        (Outcome(verdict=Verdict(kind=VerdictKind.LOST, summary="gone")), Grade.FAIL),
        (Outcome(verdict=GOOD.verdict, stalls=1, longest_s=4.0), Grade.FAIL),
    ],
)
def test_what_shows_nothing_about_the_hosts_fails_none(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, grade: Grade
) -> None:
    answers(monkeypatch, {"swap over the network, a to b over fabric": outcome})
    checks = pressure_stage.press(ground_of(tmp_path, settings))
    found = next(check for check in checks if (check.hosts, check.what) == (("a", "b"), "swap over the network"))
    assert found.grade is grade and found.reason


def test_rounds_take_the_hours_in_turns_and_are_the_same_again() -> None:
    found = list(soak_stage.rounds((FABRIC,), 2.0))
    assert sum(seconds for _, _, seconds in found) == pytest.approx(2 * 3600, abs=20)
    assert len({name for _, name, _ in found}) == len(found), "a name is one trial"
    assert found == list(soak_stage.rounds((FABRIC,), 2.0))
    keys = {key for key, _, _ in found}
    spent = {key: sum(seconds for one, _, seconds in found if one == key) for key in keys}
    assert len(keys) == 6 and max(spent.values()) - min(spent.values()) <= soak_stage.ROUND_S
    assert list(soak_stage.rounds((), 2.0)) == []


def test_in_a_short_time_every_load_has_one_round() -> None:
    found = list(soak_stage.rounds((FABRIC,), 0.01))
    assert [seconds for _, _, seconds in found] == [soak_stage.SHORTEST_S] * 6
    assert len({key for key, _, _ in found}) == 6


def test_a_soak_says_which_rate_it_excludes() -> None:
    key = ("fabric", "a", "b", "outgoing")
    (check,) = soak_stage.judge({key: [GOOD] * 8})
    assert check.grade is Grade.PASS and check.excluded == "a rate above 0.37 an hour is excluded, 95%"
    stalled = Outcome(slug="s", verdict=GOOD.verdict, stalls=2, longest_s=7.0, hours=1.0)
    (check,) = soak_stage.judge({key: [GOOD, stalled]})
    assert check.grade is Grade.FAIL and check.reason == "2 stalls, the longest 7.0 s" and check.value == 2.0
    (check,) = soak_stage.judge({key: [GOOD, Outcome(problem="host a is in quarantine")]})
    assert check.grade is Grade.NOT_SHOWN and check.reason == "host a is in quarantine"


def one(stage: StageName, *hosts: str, grade: Grade = Grade.PASS, value: float | None = None) -> Check:
    return Check(stage=stage, hosts=hosts, what="x", grade=grade, value=value)


def stages(monkeypatch: pytest.MonkeyPatch, **found: list[Check] | Exception) -> list[tuple[str, list[str]]]:
    """Stages that find this; the list gets their names, with the hosts that they were given."""
    ran: list[tuple[str, list[str]]] = []

    def make(name: StageName) -> qualification.Stage:
        def stage(ground: Ground) -> list[Check]:
            ran.append((name.value, [host.name for host in ground.hosts]))
            what = found.get(name.value, [])
            if isinstance(what, Exception):
                raise what
            return what

        return stage

    monkeypatch.setattr(qualification, "STAGES", {name: make(name) for name in qualification.STAGES})
    return ran


def test_a_host_that_fails_the_inspection_is_left_out_of_the_rest(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = inventory_of(tmp_path, "a", "b", "c")
    ran = stages(monkeypatch, inspect=[one(StageName.INSPECT, "b", grade=Grade.FAIL), one(StageName.INSPECT, "a")])
    store = begin(settings.results, inventory, [], 1.0, {})
    run(store, settings, inventory, lambda _: None)
    assert dict(ran)["links"] == dict(ran)["soak"] == ["a", "c"]
    decision = decide(checks_of(store), ("a", "b", "c"), tuple(STAGES), ended(store))
    assert {subject.name: subject.grade for subject in decision.subjects}["b"] is Grade.FAIL
    assert decision.grade is Grade.FAIL and decision.first == (("b", 1),)


def test_only_the_stages_that_were_asked_for_are_run_and_missed(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = inventory_of(tmp_path, "a", "b")
    ran = stages(monkeypatch, inspect=[one(StageName.INSPECT, "a"), one(StageName.INSPECT, "b")])
    store = begin(settings.results, inventory, [], 1.0, {}, [StageName.INSPECT])
    run(store, settings, inventory, lambda _: None)
    assert [name for name, _ in ran] == ["inspect"]
    decision = decide(checks_of(store), ("a", "b"), [StageName.INSPECT], ended(store))
    assert decision.grade is Grade.PASS and decision.missing == ()


def test_without_a_fit_host_nothing_is_measured(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = inventory_of(tmp_path, "a")
    ran = stages(monkeypatch, inspect=[one(StageName.INSPECT, "a", grade=Grade.FAIL)])
    run(begin(settings.results, inventory, [], 1.0, {}), settings, inventory, lambda _: None)
    assert [name for name, _ in ran] == ["inspect"]


def test_a_qualification_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = inventory_of(tmp_path, "a", "b")
    passed = [one(StageName.INSPECT, "a"), one(StageName.INSPECT, "b")]
    stages(monkeypatch, inspect=passed, pressure=InfraError("the controller is gone"))
    store = begin(settings.results, inventory, [], 1.0, {})
    with pytest.raises(InfraError):
        run(store, settings, inventory, lambda _: None)
    assert ended(store) == [StageName.INSPECT, StageName.FABRIC, StageName.LINKS]
    half = decide(checks_of(store), ("a", "b"), tuple(STAGES), ended(store))
    assert half.grade is Grade.NOT_SHOWN and StageName.SOAK in half.missing, "what was not run is not shown"
    ran = stages(monkeypatch)
    run(RunStore.open(store.path), settings, inventory, lambda _: None)
    assert [name for name, _ in ran] == ["pressure", "soak"]
    assert checks_of(store) == passed


def test_a_host_that_is_not_in_the_inventory_is_refused_before_a_folder_exists(
    tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(UsageError, match="no host 'z'"):
        begin(settings.results, inventory_of(tmp_path, "a"), ["z"], 1.0, {})
    assert not settings.results.exists()


def test_links_of_one_name_are_one_link_of_the_chosen_hosts(tmp_path: Path) -> None:
    first, second = inventory_of(tmp_path, "a", "b"), inventory_of(tmp_path, "b", "c")
    topologies = [*first.topologies.values(), *second.topologies.values()]
    assert [link.hosts for link in links_of(topologies, ("a", "b", "c"))] == [("a", "b", "c")]
    assert links_of(topologies, ("a", "c"))[0].hosts == ("a", "c")
    assert links_of(topologies, ("a",)) == ()


def test_only_what_changed_is_compared() -> None:
    before = [one(StageName.LINKS, "a", "b", value=100.0), one(StageName.SOAK, "a", "b")]
    same = [one(StageName.LINKS, "a", "b", value=95.0), one(StageName.SOAK, "a", "b")]
    assert changes(before, same) == []
    slower = [one(StageName.LINKS, "a", "b", value=50.0), one(StageName.SOAK, "a", "b", grade=Grade.FAIL)]
    found = changes(before, slower)
    assert [change.after.stage for change in found if change.after] == [StageName.LINKS, StageName.SOAK]
    assert [change.is_worse for change in found] == [False, True]
    assert changes(before, [])[0].sides[1] == "not checked"


def test_checks_survive_their_record() -> None:
    check = Check(
        stage=StageName.SOAK, hosts=("a", "b"), link="fabric", what="x", grade=Grade.NOT_SHOWN, value=1.5, unit="h"
    )
    assert Check.from_dict(check.to_dict()) == check and check.subject == "a → b (fabric)"


def fabric(errors: int = 0, manager: bool = True) -> Fabric:
    counters = (PortErrors(guid="0x1", name="s0", port=1, counters={"SymbolErrorCounter": errors}),) if errors else ()
    ends = (End(guid="0x2", port=1, name="a"), End(guid="0x1", port=1, name="s0"))
    return Fabric(
        nodes=(
            Node(guid="0x2", kind="Ca", name="a", ports=1),
            Node(guid="0x1", kind="Switch", name="s0", ports=8),
        ),
        links=(Cable(ends=ends, width="4X", speed="10.0 Gbps", state="Active", could_be=""),),
        down=(),
        errors=counters if manager else None,
        manager=Manager(lid=1, guid="0x1", priority=0, state="MASTER") if manager else None,
    )


@pytest.mark.parametrize(
    ("seen", "golden", "grade", "words"),
    [
        (fabric(), None, Grade.PASS, ""),
        (fabric(manager=False), None, Grade.FAIL, "no subnet manager"),
        (fabric(errors=99), None, Grade.NOT_SHOWN, "SymbolErrorCounter"),
        (fabric(errors=99), Golden(fabric=fabric()), Grade.FAIL, "SymbolErrorCounter"),
        (fabric(errors=99), Golden(fabric=fabric(errors=98)), Grade.PASS, ""),
    ],
)
def test_a_fabric_is_judged_by_itself_or_against_a_golden_one(
    seen: Fabric, golden: Golden | None, grade: Grade, words: str
) -> None:
    (check,) = checks_of_fabric("a", seen, golden)
    assert check.grade is grade and words in check.reason, check
