"""The rules: one for each class of hang."""
