"""Parts that show the domain (jobs, rows, scores, checks) and appear on several pages."""
