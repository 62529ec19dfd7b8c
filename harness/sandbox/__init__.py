"""Sandboxes: guests for manual work, the same as in trials, kept up by a supervisor until they are ended."""
