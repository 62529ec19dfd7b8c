"""Guests on this machine: boot, restore, identity, end."""
