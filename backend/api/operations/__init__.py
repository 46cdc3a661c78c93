"""Health, readiness and metrics, for operators of the server."""
