"""The load that is known to wedge hosts."""
