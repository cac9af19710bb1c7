"""Benchmarks of Fourfold, run by ``fourfold bench NAME``. Each checks equal answers first, then prints ratios."""
