"""Serial ports, and the agent behind one."""
