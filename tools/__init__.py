"""What the checkout is worked with; none of it is installed."""
