"""Try a few steps before training, and report what to expect."""
