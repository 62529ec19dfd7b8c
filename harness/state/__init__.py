"""State of live runs: folders, locks, ports, obligations; and the removal of what dead runs left."""
