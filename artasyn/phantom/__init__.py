"""Synthetic thoraces as CT volumes and as radiographs, with exact ground truth."""
