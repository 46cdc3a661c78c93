"""Which rows a step draws: in passes over all rows, or by how much they can teach."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.core.settings.choices import RowSampling
from worker.engine.seeds import batch_indices, numpy_generator
from worker.engine.settings import Settings

PRIOR = 1.0
"""Right and wrong completions that each row is taken to have had: Beta(1, 1), an even chance."""
REMEMBERED = 0.5
"""What is left of a row's counts when it is drawn again: the model changes."""
FLOOR = 0.025
"""Least weight of a row, a tenth of the largest."""


@dataclass(slots=True)
class SolveHistory:
    """Discounted counts of the right completions and of all completions, by index of the row; part of a checkpoint."""

    right: dict[int, float] = field(default_factory=dict)
    tried: dict[int, float] = field(default_factory=dict)

    def add(self, drawn: Sequence[int], right_PG: NDArray[np.bool_]) -> None:
        """Add the groups of these rows, `[P, G]`; a completion without a score is not right."""
        for index, right_G in zip(drawn, right_PG, strict=True):
            self.right[index] = REMEMBERED * self.right.get(index, 0.0) + float(right_G.sum())
            self.tried[index] = REMEMBERED * self.tried.get(index, 0.0) + len(right_G)

    def state_dict(self) -> dict[str, list[float]]:
        """Return the state to checkpoint, as plain JSON: both counts by index."""
        return {str(index): [self.right[index], self.tried[index]] for index in sorted(self.tried)}

    def load_state_dict(self, state_dict: Mapping[str, Sequence[float]]) -> None:
        """Restore checkpointed state."""
        self.right = {int(index): right for index, (right, _) in state_dict.items()}
        self.tried = {int(index): tried for index, (_, tried) in state_dict.items()}

    def weights(self, num_rows: int) -> NDArray[np.float64]:
        """Return the rows' weights `[N]`, `max(p (1 - p), FLOOR)`: the variance of a right answer.

        `p = (right + PRIOR) / (tried + 2 PRIOR)`. It is 1/4 at most: for rows half right, and for those never drawn.
        """
        right_N, tried_N = np.zeros(num_rows), np.zeros(num_rows)
        for index, tried in self.tried.items():
            right_N[index], tried_N[index] = self.right[index], tried
        p_N = (right_N + PRIOR) / (tried_N + 2 * PRIOR)
        return np.maximum(p_N * (1 - p_N), FLOOR)


def weighted_order(weights_N: NDArray[np.float64], *, rng: np.random.Generator) -> list[int]:
    """Return all indices in the order in which they are drawn by weight without replacement.

    The smallest `E / w` first, `E` exponential (Efraimidis and Spirakis 2006).
    """
    order: list[int] = np.argsort(rng.exponential(size=len(weights_N)) / weights_N, kind="stable").tolist()
    return order


def drawn_rows(step: int, *, settings: Settings, num_rows: int, history: SolveHistory) -> list[int]:
    """Return the indices of the rows of step `step` (from 1). No row is twice in a step that could do without."""
    seed, batch_size = settings.seed, settings.batch_size
    if settings.sampling is RowSampling.UNIFORM:
        return batch_indices(step, seed=seed, batch_size=batch_size, num_rows=num_rows)
    rng = numpy_generator(seed, step=step, purpose="informative rows")
    order = weighted_order(history.weights(num_rows), rng=rng)
    return [order[position % num_rows] for position in range(batch_size)]


def replacement_rows(
    step: int,
    *,
    settings: Settings,
    num_rows: int,
    history: SolveHistory,
    round_index: int,
    tried: Collection[int],
    count: int,
) -> list[int]:
    """Return up to `count` other rows for the groups without signal of a step, in a round of resampling."""
    rng = numpy_generator(settings.seed, step=step, purpose=f"resampling {round_index}")
    if settings.sampling is RowSampling.UNIFORM:
        order: list[int] = rng.permutation(num_rows).tolist()
    else:
        order = weighted_order(history.weights(num_rows), rng=rng)
    return [index for index in order if index not in tried][:count]
