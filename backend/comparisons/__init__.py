"""Which way of training is better, on the same data, verifier, seeds and budget."""
