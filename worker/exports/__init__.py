"""Downloadable results of a job: adapter archive, model card, merged weights, GGUF."""
