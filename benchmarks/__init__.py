"""Benchmarks of artasyn's speed and quality. See README.md in this folder."""
