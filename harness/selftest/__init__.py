"""The harness tested against faults whose truth is known: which kinds, running them, scoring the verdicts."""
