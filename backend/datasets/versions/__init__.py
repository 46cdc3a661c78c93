"""Derive one dataset from another: edits, filters, splits, and what differs."""
