"""Live hosts of a trial: their facts, capabilities and channels."""
