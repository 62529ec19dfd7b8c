"""Storages under test: each sets itself up, tears itself down and describes to the agent how to sample it."""
