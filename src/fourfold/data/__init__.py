"""Readers that turn public data sets and users' own files into events."""
