"""A job: what it is told (spec), the states it passes (lifecycle), who owns it (lease), what is said of it (events)."""
