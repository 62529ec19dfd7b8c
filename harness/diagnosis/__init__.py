"""Why something hung: console text and evidence to a `Diagnosis`.

`Reader` reads any kernel console text as it arrives; `diagnose_trial` reads the records of a trial. docs/diagnosis.md
explains each class and its conditions.
"""

from __future__ import annotations

from harness.diagnosis.reader import Reader
from harness.diagnosis.trial import diagnose_trial

__all__ = ["Reader", "diagnose_trial"]
