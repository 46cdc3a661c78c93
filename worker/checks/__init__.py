"""Checks: before a job trains, and on request."""
