"""Read an upload in a process of its own, preview it, store it."""
