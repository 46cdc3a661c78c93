"""The `rlsd` command: runs the stack on this machine, or calls the API of a server."""
