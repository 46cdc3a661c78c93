"""A new job: dataset, verifier, method, pre-flight."""
