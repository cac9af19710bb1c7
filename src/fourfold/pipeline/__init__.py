"""One request through the stages, with budget, degradation and trace."""
