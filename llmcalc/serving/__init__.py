"""Serving: what engines reserve and print. The job, a rank's weights, the cache in blocks, and a file an engine."""
