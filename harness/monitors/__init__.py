"""Monitors of a trial: a ladder for each host, console readers and evidence collectors; all write to the history."""
