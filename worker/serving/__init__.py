"""Chat server on a GPU: scheduling, continuous batching, detokenization, and the serving loop."""
