"""Scripts that run a peer in an environment of its own, and how a benchmark calls them."""
