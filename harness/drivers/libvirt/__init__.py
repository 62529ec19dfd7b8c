"""Guests of libvirt's QEMU driver, their disks and network segments."""
