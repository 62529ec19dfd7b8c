"""The hosts of a trial that are up, and what may be asked of them."""
