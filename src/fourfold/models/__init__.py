"""The networks, and nothing else: no I/O, no clock."""
