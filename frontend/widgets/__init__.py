"""UI parts that know nothing of the domain."""
