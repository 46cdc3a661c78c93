"""What every route shares: authentication, rights, limits, errors, paging, idempotency."""
