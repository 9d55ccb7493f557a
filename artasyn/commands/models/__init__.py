"""The commands that make models: training, calibration to a hospital, and export."""
