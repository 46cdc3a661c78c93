"""Start and supervise the processes of one machine: embedded services, API, UI, workers."""
