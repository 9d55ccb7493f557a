"""Measurements of artasyn: how fast, how good. See README.md in this folder."""
