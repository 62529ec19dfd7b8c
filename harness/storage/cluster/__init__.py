"""A service that moves from one node of a cluster to another: what it is, and what moves it."""
