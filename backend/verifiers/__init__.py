"""Verifiers: specs, templates, signatures of Python functions, and the score record of each call."""
