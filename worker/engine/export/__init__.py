"""Merge an adapter into its base, convert it, and test that both say the same."""
