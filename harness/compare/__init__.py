"""A against B: comparison of one case on two sides."""
