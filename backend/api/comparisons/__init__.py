"""Comparisons of methods: create one, follow its runs, read its result and curves."""
