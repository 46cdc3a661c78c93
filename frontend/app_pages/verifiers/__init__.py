"""Verifiers: start from an example, edit, test, check on data."""
