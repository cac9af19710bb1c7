"""Parts of `fourfold bench serve`: the world that is served, the servers, and the load."""
