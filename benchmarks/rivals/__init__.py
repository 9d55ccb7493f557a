"""Comparison methods for artasyn: methods as published, other projectors, plain baselines."""
