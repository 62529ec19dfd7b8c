"""Why something hung: console text and evidence to a `Diagnosis`.

`Reader` reads any kernel console text as it arrives; `diagnose_trial` takes what a trial recorded. docs/diagnosis.md
says what each class means and what it takes to be named.
"""

from __future__ import annotations

from harness.diagnosis.reader import Reader
from harness.diagnosis.trial import diagnose_trial

__all__ = ["Reader", "diagnose_trial"]
