"""Radiographs from CT at any angle, with the thickness of every structure along the same rays."""
