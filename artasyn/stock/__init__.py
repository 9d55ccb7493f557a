"""Stocks of projected patients, and the films that are composed from them for training."""
