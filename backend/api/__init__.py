"""The HTTP API: one router per resource, which parses the request, calls the domain and builds the response."""
