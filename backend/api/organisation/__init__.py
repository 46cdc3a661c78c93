"""Keys, members, projects, webhooks, audit log, usage, workers."""
