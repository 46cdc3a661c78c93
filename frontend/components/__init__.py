"""UI parts of the domain (jobs, rows, scores, checks) that several pages share."""
