"""Hosts that somebody owns: reserved, checked, used for a trial, and given back as they were."""
