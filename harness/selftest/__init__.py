"""The self-test: trials with a known truth, by kind; running them, and scoring the verdicts."""
