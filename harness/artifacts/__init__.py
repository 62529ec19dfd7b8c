"""What everything that is built shares: tools, the cache, package mirrors, images."""
