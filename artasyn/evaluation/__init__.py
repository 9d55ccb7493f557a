"""Figures from scores and heatmaps: how well films and pixels are told apart, with intervals."""
