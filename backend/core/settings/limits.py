"""Bounds and usual values that requests besides a job's settings have too."""

from typing import Annotated

from pydantic import Field

MAX_SEED = 2**31
Seed = Annotated[int, Field(ge=0, lt=MAX_SEED)]
MAX_MODEL_NAME = 300
ModelName = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
"""A listed name, a hub id or a folder."""
MAX_BUDGET = 1e15
MAX_SELF_CHECK_ROWS = 64
MAX_PREFLIGHT_ROWS, PREFLIGHT_ROWS = 256, 16
"""Of a pre-flight: most rows, and the usual ones where it runs."""
MAX_PREFLIGHT_SAMPLES, PREFLIGHT_SAMPLES = 64, 8
"""The same for completions per row."""
