"""Parts of the training loop: objective, update, budget, checkpoint, metrics, watchdog."""
