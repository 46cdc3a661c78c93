"""Fine-tuning jobs: settings (spec), states (lifecycle), ownership by a worker (lease) and history (events)."""
