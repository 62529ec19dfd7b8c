"""InfiniBand and RDMA: facts of adapters and fabrics, and what is known to be wrong. Pure: no host is asked."""
