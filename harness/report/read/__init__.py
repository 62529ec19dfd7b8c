"""A run's files and histories, read for whoever shows them."""
