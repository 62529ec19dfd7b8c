"""From an inventory file to live targets: inventory, images, kernels, leases."""
