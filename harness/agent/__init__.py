"""The agent, which runs on a host under test: standard library only, imports nothing from the rest of the harness."""
