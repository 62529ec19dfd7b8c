"""What the benchmarks share: command line, figures, guests, child processes."""
