"""Checks: before a job trains, and those asked for on their own."""
