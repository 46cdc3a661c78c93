"""Merge an adapter into its base model, convert it, and test that the result agrees with the adapter."""
