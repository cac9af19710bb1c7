"""Readers of public data sets and of one's own files, their import, and a small generated world."""
