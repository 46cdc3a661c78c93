"""Entry points of `rlsd train`, `preflight`, `check` and of the chat server, each its own process."""
