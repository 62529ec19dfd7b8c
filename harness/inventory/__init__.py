"""Inventory files: hosts and topologies, checked as a whole before anything starts."""
