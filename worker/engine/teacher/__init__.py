"""The same model shown the reference: its contexts, log-probabilities and signals for credit."""
