"""One ladder a target, the console reader and the evidence collector; all of it goes into the history."""
