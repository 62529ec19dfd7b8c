"""Parts that all builds share: tools, the cache, package mirrors, images."""
