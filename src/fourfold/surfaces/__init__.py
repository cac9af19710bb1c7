"""Ready-made definitions."""
