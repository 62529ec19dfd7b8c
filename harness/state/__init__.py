"""What lives as long as a run: its folder, locks, ports, what it owes; and what removes the rest of a dead one."""
