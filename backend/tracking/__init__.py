"""Logging of runs to experiment trackers: TensorBoard, MLflow, Weights & Biases, each an optional package.

Logged are the job's id, model and settings, and its metrics and held-out scores by step: no rows, completions, graders.
"""
