"""The `rlsd` command: run the stack here, or talk to one elsewhere."""
