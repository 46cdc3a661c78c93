"""Held-out evaluation: avg@k, and the paired comparison of two evaluations.

All evaluations of a run use the same random numbers, so a difference between two of them comes from the policy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.statistics import DIFFERENCES, Interval, mean_interval, sign_flip_p
from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored
from worker.engine.rollouts.rollouts import all_gather_rollouts
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.sampling import sample_and_score, untimed
from worker.engine.seeds import numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores, Reward


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


def evaluate(
    policy: Policy,
    questions: Sequence[Prompt],
    *,
    sampler: Sampler,
    reward: Reward,
    settings: Settings,
    check_control: Callable[[], None],
    world: ProcessGroup,
) -> Evaluation:
    """Sample and score `eval_samples` completions per question. `check_control` is called before each batch; may raise.

    Each process samples its share of every batch; all get the whole.
    """
    policy.model.eval()
    questions_a_batch = max(1, settings.batch_size * settings.num_generations // settings.eval_samples)
    questions_scored: list[QuestionScores] = []
    scored_batches: list[Scored] = []
    for start in range(0, len(questions), questions_a_batch):
        check_control()
        batch = questions[start : start + questions_a_batch]
        rollouts, scored = sample_and_score(
            policy,
            batch,
            sampler=sampler,
            reward=reward,
            num_generations=settings.eval_samples,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=start, purpose="evaluation"),
            sequences_at_once=settings.rollout_sequences,
            share=world.share(len(batch)),
            phase=untimed,
        )
        _, scored = all_gather_rollouts(rollouts, scored, prompts=batch, pad_id=policy.pad_id, world=world)
        scored_batches.append(scored)
        scores = [record.score if record.status == "ok" else None for record in scored.records]
        k = settings.eval_samples
        questions_scored += [
            QuestionScores(row=prompt.task.row, scores=scores[i * k : (i + 1) * k]) for i, prompt in enumerate(batch)
        ]
    faults = sum(scored.fault_share * len(scored.records) for scored in scored_batches)
    return Evaluation(
        questions=questions_scored,
        fault_share=faults / (len(questions) * settings.eval_samples),
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
