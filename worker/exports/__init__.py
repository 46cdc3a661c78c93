"""What a user takes home: adapter archive, model card, merged weights, GGUF."""
