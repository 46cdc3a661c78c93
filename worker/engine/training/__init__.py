"""One update: objective, budget, checkpoint, metrics, watchdog."""
