"""What is done to a host in a trial: each injects and heals."""
