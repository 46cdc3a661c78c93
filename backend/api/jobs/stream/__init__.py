"""Server-sent events of a job: one database listener, broadcast to every open stream."""
