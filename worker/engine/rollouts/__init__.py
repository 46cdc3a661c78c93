"""Sample completions, score them, and collect them into a batch."""
