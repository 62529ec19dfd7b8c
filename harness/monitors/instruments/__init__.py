"""What runs beside a load and measures; see `harness.monitors.instrument`."""
