"""Comparison of training methods on the same data, verifier, seeds and budget."""
