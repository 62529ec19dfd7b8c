"""Faults of a trial: each is injected into a host, and may be healed."""
