"""Trained and base models: card, use, downloads, manifest."""
