"""The runtimes over the one pipeline."""
