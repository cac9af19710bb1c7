"""The scoring engine: one history encoded once, many candidates scored against it."""
