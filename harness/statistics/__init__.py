"""What figures of many trials say; pure functions, no I/O."""
