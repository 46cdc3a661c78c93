"""One job: its progress, completions, credit, checks and downloads."""
