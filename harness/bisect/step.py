"""One step under `git bisect run`: repeats the case until "good" is sure enough."""

from __future__ import annotations

from collections.abc import Callable

from harness.bisect.candidates import Candidate
from harness.bisect.log import LOST_TRIAL, Run
from harness.bisect.loop import read_run
from harness.bisect.signature import BAD, GOOD, SKIP, Signature
from harness.model.errors import InfraError
from harness.results.store import TrialStore
from harness.statistics.bisection import runs_to_believe

# Exit codes as git reads them.
EXIT = {GOOD: 0, BAD: 1}
SKIPPED = 125
_HERE = Candidate(key="HEAD", title="")


def step(
    run: Callable[[], TrialStore],
    tell: Callable[[str], None],
    *,
    sought: Signature,
    rate: float | None,
    confidence: float,
) -> int:
    """The exit code: 1 at the first bad run; 0 after as many good runs as show that it is not bad; else 125.

    A commit is skipped if more of its runs are unusable than good.
    """
    needed, good, skipped = runs_to_believe(rate, confidence), 0, 0
    while good < needed:
        found = _judged(run, sought)
        tell(f"{found.word}: {found.why}")
        if found.word == BAD:
            return EXIT[BAD]
        good += found.word == GOOD
        skipped += found.word != GOOD
        if skipped > good + 1:
            return SKIPPED
    return EXIT[GOOD]


def _judged(run: Callable[[], TrialStore], sought: Signature) -> Run:
    try:
        return read_run(run(), _HERE, sought)
    except InfraError as error:
        return Run(word=SKIP, key=_HERE.key, why=str(error), trial=LOST_TRIAL)
