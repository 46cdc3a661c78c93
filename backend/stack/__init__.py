"""Start and supervision of all processes on one machine: embedded services, API, UI, workers."""
