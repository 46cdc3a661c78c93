"""What service and engine share: statistics, findings, signals, methods, settings. No database, no torch."""
