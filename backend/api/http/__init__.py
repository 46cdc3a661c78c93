"""Shared by all routes: authentication, rights, limits, errors, paging, idempotency."""
