"""Guests for work by hand: the same as in trials, held by a supervisor for as long as they are wanted."""
