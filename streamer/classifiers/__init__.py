"""Benchmarks of well-known classifiers: built, exported, compiled, run and compared, each in its own directory."""
