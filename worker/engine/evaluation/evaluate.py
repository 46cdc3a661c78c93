"""Held-out evaluation: avg@k, and the paired comparison of two evaluations.

All evaluations of a run use the same random numbers, so a difference between two of them comes from the policy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.statistics import DIFFERENCES, Interval, mean_interval, sign_flip_p
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, score_of
from worker.engine.rollouts.sampling import RolloutContext, sample_and_score, untimed
from worker.engine.seeds import numpy_generator, torch_generator
from worker.engine.types import QuestionScores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of all questions, and how often the verifier failed."""

    questions: list[QuestionScores]
    fault_share: float
    first_fault: str


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two evaluations of the same questions, paired."""

    difference: Interval
    """Later minus earlier, in mean score."""
    p_value: float
    """Two-sided sign-flip permutation test on the per-question differences."""


def evaluate(context: RolloutContext, questions: Sequence[Prompt], *, check_control: Callable[[], None]) -> Evaluation:
    """Sample and score `eval_samples` completions per question. `check_control` is called before each batch; may raise.

    Each process samples its share of every batch; all get the whole.
    """
    settings, k = context.settings, context.settings.eval_samples
    context.policy.model.eval()
    questions_a_batch = max(1, settings.batch_size * settings.num_generations // k)
    questions_scored: list[QuestionScores] = []
    scored_batches: list[Scored] = []
    for start in range(0, len(questions), questions_a_batch):
        check_control()
        batch = questions[start : start + questions_a_batch]
        _, scored = sample_and_score(
            context,
            batch,
            num_generations=k,
            generator=torch_generator(settings.seed, step=start, purpose="evaluation"),
            phase=untimed,
        )
        scored_batches.append(scored)
        scores = [score_of(record) for record in scored.records]
        questions_scored += [
            QuestionScores(row=prompt.task.row, scores=scores[i * k : (i + 1) * k]) for i, prompt in enumerate(batch)
        ]
    faults = sum(scored.fault_share * len(scored.records) for scored in scored_batches)
    return Evaluation(
        questions=questions_scored,
        fault_share=faults / (len(questions) * k),
        first_fault=next((scored.first_fault for scored in scored_batches if scored.first_fault), ""),
    )


def question_means(questions: Sequence[QuestionScores]) -> NDArray[np.float64]:
    """Compute each question's mean score over its scored samples; NaN if it has none."""
    means = []
    for question in questions:
        known = [score for score in question["scores"] if score is not None]
        means.append(sum(known) / len(known) if known else np.nan)
    return np.array(means, dtype=np.float64)


def compare(
    earlier: Sequence[QuestionScores], later: Sequence[QuestionScores], *, seed: int
) -> PairedComparison | None:
    """Test whether the score changed, paired by question; questions without a score in both are left out.

    None if no question has a score in both. ValueError if the evaluations are not of the same questions.
    """
    if [question["row"] for question in earlier] != [question["row"] for question in later]:
        raise ValueError("the two evaluations are not of the same questions")
    differences = question_means(later) - question_means(earlier)
    differences = differences[~np.isnan(differences)]
    if len(differences) == 0:
        return None
    p_value = sign_flip_p(differences, rng=numpy_generator(seed, step=0, purpose="paired test"))
    return PairedComparison(mean_interval(differences, within=DIFFERENCES), p_value)
