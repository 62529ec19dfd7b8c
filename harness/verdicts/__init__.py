"""Console text to findings, history to verdict. Pure functions of recorded data."""
