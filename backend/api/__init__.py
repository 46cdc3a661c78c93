"""The HTTP API: a router a resource; each parses, asks the domain and answers (SHAPES, API)."""
