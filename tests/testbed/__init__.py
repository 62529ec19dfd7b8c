"""The test bed of owned hosts: QEMU machines with a full Debian of their own behind real BMCs and consoles.

The harness knows nothing of QEMU here: it sees SSH, IPMI or Redfish, and a serial console. docs/testbed.md has more.
"""
