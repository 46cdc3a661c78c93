"""Inside: the score of a row whose verifier does not survive what the model wrote."""

import math
import os

from worker.sandbox import frames


def score_if_stopped(score: float) -> None:
    """Set the score of this row in case that its process is stopped from now on: out of time, out of memory, ended.

    For verifiers that compute with what the model chose. Without it, such a row is an error, which has no score.
    """
    if not math.isfinite(score):
        raise ValueError(f"score_if_stopped({score}): the score must be finite")
    os.write(frames.RESULT_FD, frames.if_stopped(float(score)))
