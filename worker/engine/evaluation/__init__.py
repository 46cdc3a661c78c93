"""Score a policy on held-out rows, with intervals."""
