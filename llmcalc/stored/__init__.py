"""Weights as they are stored: what of a model is kept in which number format, and how many bytes that takes."""
