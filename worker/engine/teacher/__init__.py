"""The teacher: the same model given a hint. Its contexts, its log-probabilities, and distillation."""
