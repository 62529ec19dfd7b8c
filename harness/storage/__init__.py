"""The storage under test: each sets up, tears down and tells the agent how to sample it."""
