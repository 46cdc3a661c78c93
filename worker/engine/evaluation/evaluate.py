"""Owns the held-out evaluation: avg@k, and the paired comparison of two evaluations.

Every evaluation of a run meets the same random numbers, so a difference between two of them is the policy's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.engine.distributed import ProcessGroup
from worker.engine.evaluation.statistics import DIFFERENCES, RESAMPLES, Interval, interval
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored
from worker.engine.rollouts.rollouts import joined
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.sampling import sample_and_score, untimed
from worker.engine.seeds import numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores, Reward


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found."""

    questions: list[QuestionScores]
    fault_share: float
    first_fault: str


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two evaluations of the same questions, paired."""

    difference: Interval
    """Later minus earlier, in mean score."""
    p_value: float
    """Two-sided sign-flip permutation test on the differences of the questions."""


def evaluate(
    policy: Policy,
    questions: Sequence[Prompt],
    *,
    source: Sampler,
    reward: Reward,
    settings: Settings,
    heed: Callable[[], None],
    world: ProcessGroup,
) -> Evaluation:
    """Sample `eval_samples` completions a question and score them. `heed` is called between batches; it may raise.

    Each process answers its share of every batch; all get the whole.
    """
    policy.model.eval()
    questions_a_batch = max(1, settings.batch_size * settings.num_generations // settings.eval_samples)
    found: list[QuestionScores] = []
    scored_batches: list[Scored] = []
    for start in range(0, len(questions), questions_a_batch):
        heed()
        batch = questions[start : start + questions_a_batch]
        rollouts, scored = sample_and_score(
            policy,
            batch,
            source=source,
            reward=reward,
            num_generations=settings.eval_samples,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=start, purpose="evaluation"),
            sequences_at_once=settings.rollout_sequences,
            share=world.share(len(batch)),
            phase=untimed,
        )
        _, scored = joined(rollouts, scored, prompts=batch, pad_id=policy.pad_id, world=world)
        scored_batches.append(scored)
        scores = [record.score if record.status == "ok" else None for record in scored.records]
        k = settings.eval_samples
        found += [
            QuestionScores(row=prompt.task.row, scores=scores[i * k : (i + 1) * k]) for i, prompt in enumerate(batch)
        ]
    faults = sum(scored.fault_share * len(scored.records) for scored in scored_batches)
    return Evaluation(
        questions=found,
        fault_share=faults / (len(questions) * settings.eval_samples),
        first_fault=next((scored.first_fault for scored in scored_batches if scored.first_fault), ""),
    )


def question_means(questions: Sequence[QuestionScores]) -> NDArray[np.float64]:
    """Mean score of each question over its scored samples; NaN where it has none."""
    means = []
    for question in questions:
        known = [score for score in question["scores"] if score is not None]
        means.append(sum(known) / len(known) if known else np.nan)
    return np.array(means, dtype=np.float64)


def compare(
    earlier: Sequence[QuestionScores], later: Sequence[QuestionScores], *, seed: int
) -> PairedComparison | None:
    """Did the score change? Questions are paired; those without a score on either side are left out.

    None when no question has a score on both sides. ValueError when the two are not of the same questions.
    """
    if [question["row"] for question in earlier] != [question["row"] for question in later]:
        raise ValueError("the two evaluations are not of the same questions")
    differences = question_means(later) - question_means(earlier)
    differences = differences[~np.isnan(differences)]
    if len(differences) == 0:
        return None
    p_value = 1.0
    if len(differences) > 1 and differences.any():
        p_value = float(
            stats.permutation_test(
                (differences,),
                _mean_along,
                permutation_type="samples",
                vectorized=True,
                n_resamples=RESAMPLES,
                batch=1000,
                rng=numpy_generator(seed, step=0, purpose="paired test"),
            ).pvalue
        )
    return PairedComparison(interval(differences, within=DIFFERENCES), p_value)


def _mean_along(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=axis), dtype=np.float64)
