"""Statistics over many trials; pure functions, no I/O."""
