"""Settings: your sign-in, keys, people, projects, audit log, webhooks, workers."""
