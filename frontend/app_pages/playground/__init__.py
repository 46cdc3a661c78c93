"""Ask two models the same question, side by side."""
