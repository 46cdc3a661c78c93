"""Comparisons of methods: create one, watch its runs, read its result and their rollouts."""
