"""Instruments that run beside a load and measure; see `harness.monitors.instrument`."""
