"""Verifiers: store one, run it, check it before it trains anything."""
