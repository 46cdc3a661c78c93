"""From an uploaded file to rows: read (bytes to raw rows), shapes (whose format), rows (normal form), report, store."""
