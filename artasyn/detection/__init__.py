"""The detector: a radiograph in; a score, a heatmap, a mask and a healthy reconstruction out."""
