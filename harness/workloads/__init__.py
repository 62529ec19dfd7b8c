"""Loads that are known to wedge hosts, and steady loads."""
