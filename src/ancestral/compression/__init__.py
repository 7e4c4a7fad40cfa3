"""Lossless compression with a model's probabilities: entropy coding, bits-back coding, and the file format."""
