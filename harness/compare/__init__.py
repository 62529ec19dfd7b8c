"""A against B: one case on two sides, run by run, and what follows."""
