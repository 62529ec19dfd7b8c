"""Serial ports of guests, and the link to the agent behind one."""
