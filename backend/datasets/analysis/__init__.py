"""Describe stored rows: lengths, languages, overlap, leakage."""
