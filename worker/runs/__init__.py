"""Runs of jobs: the way of a job from its checks to its adapter, and the places where it is recorded."""
