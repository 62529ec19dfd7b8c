"""Which side is the first bad one, by trials whose hang shows in only some runs: candidates, log, loop, signature."""
