"""Plugin of a running comparison: after each trial a line, the result on disk, and the decision whether to stop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.compare.outcomes import Outcome, read_outcomes
from harness.compare.question import SIDES, Question
from harness.compare.record import write_result
from harness.compare.result import Comparison, compare
from harness.compare.words import spelled_p, spelled_s
from harness.results.store import RunStore, TrialStore
from harness.statistics.claims import Decision


class Watch:
    """Plugin of the session that runs the trials; `repeated` are the trials that are run again."""

    def __init__(self, store: RunStore, question: Question, repeated: Sequence[str] = ()) -> None:
        self._store, self._question, self._repeated = store, question, tuple(repeated)
        self._reporter: pytest.TerminalReporter | None = None
        self._known = {trial.slug for trial in store.trials() if trial.is_finished}
        self._over: set[str] = set()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Find the reporter that prints lines."""
        self._reporter = session.config.pluginmanager.getplugin("terminalreporter")

    def pytest_harness_enough(self, store: TrialStore) -> str | None:
        """See `harness.plugin.hookspecs`."""
        self._over.add(store.slug)
        outcomes = read_outcomes(self._store, self._question, self._over)
        found = compare(self._question, outcomes, self._repeated)
        write_result(self._store, found)
        if self._reporter is not None and store.slug not in self._known:  # else it finished before the run was resumed
            # The line has the test's letter; pytest does not know that this line now ends.
            self._reporter.write("\n")
            self._reporter.write_line(_line(store, outcomes, found), bold=True)
        return reason(found)


def reason(found: Comparison) -> str | None:
    """The reason why no more trials are needed with `until_sure`, or None."""
    if found.look is None or found.decision is Decision.OPEN:
        return None
    what = "the rates differ" if found.decision is Decision.DIFFERENT else "no difference worth knowing"
    return f"decided after {found.look.after} pairs: {what}"


def _line(store: TrialStore, outcomes: Sequence[Outcome], found: Comparison) -> str:
    """`a-3: DEADLOCKED after 9.1 s; a 3 of 3, b 0 of 2; p = 0.1`."""
    own = next(o for o in outcomes if (o.side, o.number) == (store.side, store.number))
    what = "no verdict about the kernel" if own.kind is None else own.kind.value
    after = "" if own.after_s is None else f" after {spelled_s(own.after_s)} of load"
    counts = ", ".join(f"{side.key} {side.hits} of {side.runs}" for side in found.sides)
    return f"{store.side}-{store.number}: {what}{after}; {counts}{_state(found)}"


def _state(found: Comparison) -> str:
    look = found.look
    if look is None:
        total = len(SIDES) * found.question.runs
        return f"; {sum(side.runs + len(side.vain) for side in found.sides)} of {total} trials"
    pairs = "1 pair" if look.pairs == 1 else f"{look.pairs} pairs"
    return f"; {pairs}: difference {spelled_p(look.p)}, none worth knowing {spelled_p(look.p_gap)}"
