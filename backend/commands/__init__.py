"""Commands of `rlsd` that ask a server: one for every route of the API, beside those of `backend.remote`."""
