"""One trial from lease to verdict: the only orchestrator. It knows nothing of pytest."""

from harness.trial.plan import Plan
from harness.trial.run import run_trial

__all__ = ["Plan", "run_trial"]
