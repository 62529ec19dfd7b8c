"""Guests of this machine: booted or restored, identified, ended."""
