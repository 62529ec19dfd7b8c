"""Kernels and their modules: found, fetched, checked, replaced, built."""
