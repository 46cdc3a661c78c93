"""Server-sent events of a job: one database listener per process, broadcast to every open stream."""
