"""Hosts that somebody owns."""
