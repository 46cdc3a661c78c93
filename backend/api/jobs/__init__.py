"""Jobs: create and control one, read its steps, rollouts, checkpoints and events."""
