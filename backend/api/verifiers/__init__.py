"""Verifiers: save one, run it, check it before training with it."""
