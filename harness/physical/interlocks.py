"""Interlocks: reasons not to use a host, all found before anything on it is changed.

Pure: they follow from the inventory, the survey of the host and what its BMC says. Each reason is one line.
"""

from __future__ import annotations
