"""Protocols for acting on a host, one file a backend."""
