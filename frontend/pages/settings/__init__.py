"""You, keys, people, projects, audit, webhooks, workers."""
