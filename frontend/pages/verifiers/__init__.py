"""Verifiers: start from an example, edit, try out, check on data."""
