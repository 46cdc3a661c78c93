"""`rlsd train`, `preflight`, `check` and the chat server, each a process of its own."""
