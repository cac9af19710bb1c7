"""Events and the durable log that holds them."""
