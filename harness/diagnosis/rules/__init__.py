"""One rule a class of hang."""
