"""Sources: each proposes items for a viewer, with a score and a reason."""
