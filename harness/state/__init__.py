"""What lives as long as a run: its folder, locks, leases, ports; and what removes the rest of a dead one."""
