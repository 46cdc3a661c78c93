"""A chat server beside a GPU: whose turn it is, tokens into text, and the loop around the engine's batches."""
