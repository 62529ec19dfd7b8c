"""Checks of what this machine can do, and what it lacks."""
