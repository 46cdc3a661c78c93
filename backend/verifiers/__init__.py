"""What a verifier is: its spec, its templates, its function's signature, and the record every call ends in."""
