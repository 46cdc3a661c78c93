"""Compare methods: choose the arms, watch the runs, read the result."""
