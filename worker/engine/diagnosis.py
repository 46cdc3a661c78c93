"""Owns the passes that only diagnostics need, every `diagnostic_interval` steps.

They look at a share of the step's rollouts that is as large as `token_share`, and at a few however small that is; which
ones does not depend on whose tokens are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.engine.briefing import Briefer, Reading
from worker.engine.policy import Policy
from worker.engine.rollout import Rollouts
from worker.engine.scoring import plan_for, shares_contexts
from worker.engine.settings import Settings
from worker.engine.teacher import Scorer, teacher_logps
from worker.engine.types import TeacherWeights

LEAST_SEQUENCES = 4
"""Looked at in a step, where it has as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """log-probabilities of the sampled tokens, `[B, T]`; NaN for sequences that were not looked at."""

    base_logps_BT: Tensor
    """Under the base model: how far the student has moved."""
    hinted_logps_BT: Tensor | None
    """Under the teacher's weights with the row's own hint; None where no control can be given."""
    placebo_logps_BT: Tensor | None
    """Under the same weights with another row's hint: what a hint does by merely being there."""


def diagnose(
    policy: Policy, rollouts: Rollouts, *, briefer: Briefer | None, sequences: Sequence[int], settings: Settings
) -> Diagnosis:
    """Look at these sequences, with the weights as they are after the update."""
    student = tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))
    placebo = briefer.placebo(rollouts) if briefer else None
    own = briefer.own(rollouts) if briefer and placebo else None
    readings = [reading for reading in (placebo, own) if reading is not None]
    plan = plan_for(
        rollouts,
        sequences=sequences,
        readings=readings,
        micro_batch_tokens=settings.micro_batch_tokens,
        shared=shares_contexts(policy),
    )

    def score(reading: Reading, weights: TeacherWeights) -> Tensor:
        return teacher_logps(Scorer(policy, plan, weights, settings.temperature), rollouts, reading)

    weights = TeacherWeights(settings.teacher)
    return Diagnosis(
        base_logps_BT=score(student, TeacherWeights.BASE),
        hinted_logps_BT=score(own, weights) if own else None,
        placebo_logps_BT=score(placebo, weights) if placebo else None,
    )
