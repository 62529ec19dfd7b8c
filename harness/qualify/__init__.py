"""Qualification of hosts before they are trusted: stages, their checks, statistics of what was not seen, and pages."""
