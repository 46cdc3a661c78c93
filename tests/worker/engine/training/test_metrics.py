"""All metrics of a step (docs/rlsd.md section 4), of a hand-made step, against independent sums."""

import math
import statistics
from dataclasses import replace

import pytest
import torch

from backend.core.methods import method_named
from backend.core.settings.choices import RewardScale
from tests.worker.engine.tiny import Recorder, Verdict, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import group_advantages
from worker.engine.methods.base import Credit
from worker.engine.rollouts.collect import RolloutBatch
from worker.engine.rollouts.prompts import Context, Prompt
from worker.engine.rollouts.reward import Scored, concat_scored
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.teacher.contexts import TeacherContexts
from worker.engine.teacher.diagnostics import Diagnosis
from worker.engine.training.metrics import StepFacts, step_costs, step_metrics
from worker.engine.training.update import StepTensors, Update

G, T = 4, 5
VERDICTS = [
    *(Verdict(1.0), Verdict(1.0), Verdict(1.0), Verdict(1.0)),
    *(Verdict(0.25), Verdict(0.25), Verdict(None, "timeout"), Verdict(0.25)),
    *(Verdict(1.0), Verdict(0.0), Verdict(0.75), Verdict(0.0)),
    *(Verdict(0.0), Verdict(None, "error", "KeyError"), Verdict(1.0), Verdict(None, "abstain")),
]
"""Groups all right, all wrong, mixed, and mixed with gaps."""
RESAMPLED = [Verdict(0.5), Verdict(None, "error"), Verdict(0.5), Verdict(0.5)]
"""Verdicts on a replaced group, which count in the verdict shares."""
LENGTHS = [1, 2, 3, 4, 5, 4, 3, 2, 1, 5, 3, 4, 2, 1, 5, 3]
LIVE = [8, 9, 10, 11, 12, 14]
WITHOUT_HINT = 11
"""A live sequence without a hint."""
TEXTS = ["fine"] * 12 + ["", " \n", "As the reference solution has it, 4", "fine"]
CLIPPED = {(9, 0): -1, (9, 1): -1, (10, 1): 1, (12, 0): -1, (14, 2): 1, (14, 3): 1, (8, 0): -1}


def numbers(seed):
    """Return a different number for each token."""
    return torch.rand(len(VERDICTS), T, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_mask(b, t):
    return t < LENGTHS[b]


def has_teacher(b, t):
    """The hand-made teacher is masked at the second token of every sequence, as if outside the reasoning."""
    return in_mask(b, t) and b in LIVE and b != WITHOUT_HINT and t != 1


def token_mask(holds):
    return torch.tensor([[holds(b, t) for t in range(T)] for b in range(len(VERDICTS))])


MASK, HAS_TEACHER = token_mask(in_mask), token_mask(has_teacher)
LIVE_ROWS = token_mask(lambda b, t: b in LIVE)
SAMPLED = -(2 * numbers(1)).where(MASK, 0.0)
STUDENT = (SAMPLED + 0.1 * numbers(2)).where(MASK, 0.0).where(LIVE_ROWS, torch.nan)
DELTAS = (4 * numbers(3) - 2).where(HAS_TEACHER, 0.0)
WEIGHTS = (2 * numbers(4)).where(HAS_TEACHER, 1.0)
KL = numbers(5)
PENALTIES = torch.arange(len(VERDICTS), dtype=torch.float64) / 8
RATIO_CLIPPED = token_mask(lambda b, t: in_mask(b, t) and b in LIVE and (b + t) % 3 == 0)


@pytest.fixture
def facts():
    rewards = torch.tensor([math.nan if v.score is None else v.score for v in VERDICTS], dtype=torch.float64)
    scored = Scored(tuple(VERDICTS), rewards)
    rollouts = Rollouts(
        prompts=tuple(Prompt(task, Context((1, 2))) for task in tiny_tasks(4)),
        num_generations=G,
        completion_ids_BT=torch.zeros(MASK.shape, dtype=torch.long),
        mask_BT=MASK,
        sampling_logps_BT=SAMPLED,
        truncated_B=torch.tensor([length == T for length in LENGTHS]),
        texts=tuple(TEXTS),
    )
    advantages = group_advantages(rewards, num_generations=G, scale=RewardScale.STD)
    resampled = Scored(tuple(RESAMPLED), torch.tensor([0.5, math.nan, 0.5, 0.5], dtype=torch.float64))
    rollout_batch = RolloutBatch(
        rollouts=rollouts,
        scored=scored,
        advantages_B=advantages,
        penalties_B=PENALTIES,
        resampled_groups=1,
        dead_P=scored.dead_groups({}, num_generations=G),
        all_scored=concat_scored([resampled, scored]),
        num_tokens=1234,
    )
    clipped = torch.zeros(MASK.shape, dtype=torch.int8)
    for position, side in CLIPPED.items():
        clipped[position] = side
    return StepFacts(
        asked=rollout_batch,
        rollout_batch=rollout_batch,
        method=method_named("rlsd"),
        teacher_contexts=make_teacher_contexts(unheard=[WITHOUT_HINT]),
        step_tensors=StepTensors(
            advantages_B=advantages,
            teacher_logps_BT=STUDENT + DELTAS,
            contrast_logps_BT=None,
            teacher_mask_B=torch.tensor([b in LIVE and b != WITHOUT_HINT for b in range(len(VERDICTS))]),
            teacher_mask_BT=token_mask(lambda b, t: t != 1),
            rewards_B=rewards,
            baselines_B=None,
            divergences_BT=None,
            divergence_scale=None,
            practised_B=torch.zeros(len(VERDICTS), dtype=torch.bool),
        ),
        live=LIVE,
        update=Update(
            loss=-0.125,
            gradient_norm=3.5,
            logps_BT=STUDENT,
            teacher_logps_BT=STUDENT + DELTAS,
            contrast_logps_BT=None,
            credit=Credit(advantages_BT=WEIGHTS, weights_BT=WEIGHTS, deltas_BT=DELTAS, clipped_BT=clipped),
            ratio_clipped_BT=RATIO_CLIPPED,
            kl_BT=KL,
            num_tokens=56,
        ),
        lam=0.375,
        learning_rate=2e-5,
        teacher_tokens=78,
        success_above=0.5,
        watch=Stopwatch(torch.device("cpu"), {"rollout": 2.0, "reward": 0.5, "teacher": 0.25, "update": 1.0}),
    )


def make_teacher_contexts(*, unheard, too_long=()):
    """Return contexts with a hint for every sequence except `unheard`, those of `too_long` because of their length."""
    read = tuple(None if b in unheard else Context((3, 4)) for b in range(len(VERDICTS)))
    absent = tuple(b in unheard and b not in too_long for b in range(len(VERDICTS)))
    return TeacherContexts(teacher_B=read, contrasts_KB=(), no_hint_B=absent, routed_out_B=(False,) * len(absent))


def tokens(*, of, counted=in_mask):
    """Return the counted (sequence, token) positions of these sequences."""
    return [(b, t) for b in of for t in range(T) if counted(b, t)]


def mean(values, positions):
    return sum(values[position].item() for position in positions) / len(positions)


EVERY = range(len(VERDICTS))
POSITIVE, NEGATIVE = [8, 10, 14], [9, 11, 12]
"""Live sequences above their group's mean and below it: 0.4375 and 0.5."""
RIGHT, WRONG = [8, 10, 14], [9, 12]
"""Live sequences with a hint whose score is above 0.5, and the others."""


def test_the_rewards_and_groups_of_a_step(facts):
    metrics = step_metrics(facts, diagnosis=None)
    known = [verdict.score for verdict in VERDICTS if verdict.score is not None]
    assert metrics["reward_mean"] == pytest.approx(sum(known) / 13)
    assert metrics["reward_std"] == pytest.approx(statistics.stdev(known))
    assert metrics["groups_all_right"] == 1 / 4
    assert metrics["groups_all_wrong"] == 1 / 4
    assert metrics["groups_mixed"] == 2 / 4
    assert metrics["groups_resampled"] == 1
    assert metrics["overlong_penalty_mean"] == (len(VERDICTS) - 1) / 16, "and reward_mean is that of the verifier"


def test_groups_are_all_right_or_all_wrong_by_success_above_and_mixed_by_their_scores(facts):
    metrics = step_metrics(replace(facts, success_above=0.2), diagnosis=None)
    assert [metrics[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")] == [2 / 4, 0.0, 2 / 4]
    rewards = facts.asked.scored.rewards_B.clone()
    rewards[5] = 0.0
    scored = replace(facts.asked.scored, rewards_B=rewards)
    batch = replace(facts.asked, scored=scored, dead_P=scored.dead_groups({}, num_generations=G))
    metrics = step_metrics(replace(facts, asked=batch), diagnosis=None)
    assert [metrics[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")] == [1 / 4, 0.0, 3 / 4]


def test_a_group_that_differs_in_a_component_alone_is_mixed_and_components_have_a_mean_each(facts):
    parts = [{"facts": float(b % 2), "form": b / 16, "Ω": 1.0} for b in EVERY]
    records = tuple(replace(verdict, components=part) for verdict, part in zip(VERDICTS, parts, strict=True))
    scored = replace(facts.asked.scored, records=records)
    dead_P = scored.dead_groups({"facts": 1.0, "form": 0.1}, num_generations=G)
    batch = replace(facts.asked, scored=scored, dead_P=dead_P)
    metrics = step_metrics(replace(facts, asked=batch), diagnosis=None)
    assert [metrics[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")] == [0.0, 0.0, 1.0]
    graded = [b for b in EVERY if VERDICTS[b].status == "ok"]
    for name in ("facts", "form"):
        assert metrics[f"component_{name}"] == pytest.approx(sum(parts[b][name] for b in graded) / len(graded))
    assert {name for name in metrics if name.startswith("component_")} == {"component_facts", "component_form"}, (
        "trackers do not take every name"
    )


def test_verdict_shares_include_resampled_groups(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert (metrics["abstained"], metrics["errored"], metrics["timed_out"]) == (1 / 20, 2 / 20, 1 / 20)


def test_the_completions_of_a_step(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert metrics["truncated"] == 3 / 16
    assert metrics["empty"] == 2 / 16
    assert metrics["leakage"] == 1 / 16
    assert metrics["completion_tokens_mean"] == sum(LENGTHS) / 16
    assert metrics["completion_tokens_max"] == 5
    assert metrics["entropy"] == pytest.approx(-mean(SAMPLED, tokens(of=EVERY)))
    assert metrics["rollout_logp_gap_mean"] == pytest.approx(mean((STUDENT - SAMPLED).abs(), tokens(of=LIVE)))


def test_the_trained_and_the_skipped_sequences_of_a_step(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert metrics["lambda"] == 0.375
    assert metrics["skipped"] == 10 / 16
    assert metrics["unheard"] == pytest.approx(1 / 6)
    assert metrics["hint_too_long"] == 0
    with_long_hint = step_metrics(
        replace(facts, teacher_contexts=make_teacher_contexts(unheard=[WITHOUT_HINT, 12], too_long=[12])),
        diagnosis=None,
    )
    assert (with_long_hint["unheard"], with_long_hint["hint_too_long"]) == (pytest.approx(2 / 6), pytest.approx(1 / 6))
    assert metrics["loss"] == -0.125
    assert metrics["gradient_norm"] == 3.5
    assert metrics["learning_rate"] == 2e-5
    assert metrics["kl"] == pytest.approx(KL[MASK & LIVE_ROWS].double().mean().item())
    assert metrics["ratio_clipped"] == pytest.approx(mean(RATIO_CLIPPED, tokens(of=LIVE)))


def test_clip_shares_are_over_the_tokens_trained_on(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert len(tokens(of=LIVE)) == 20
    assert (metrics["clipped_low"], metrics["clipped_high"]) == (pytest.approx(4 / 20), pytest.approx(3 / 20))


def test_deltas_and_weights_are_split_by_the_sign_of_the_advantage(facts):
    metrics = step_metrics(facts, diagnosis=None)
    for name, chosen in (("positive", POSITIVE), ("negative", NEGATIVE)):
        assert metrics[f"delta_mean_{name}"] == pytest.approx(mean(DELTAS, tokens(of=chosen, counted=has_teacher)))
        assert metrics[f"weight_mean_{name}"] == pytest.approx(mean(WEIGHTS, tokens(of=chosen)))


def test_deltas_are_summed_over_right_and_over_wrong_completions(facts):
    metrics = step_metrics(facts, diagnosis=None)
    for name, chosen in (("right", RIGHT), ("wrong", WRONG)):
        sums = [sum(DELTAS[position].item() for position in tokens(of=[b], counted=has_teacher)) for b in chosen]
        assert metrics[f"delta_sum_{name}"] == pytest.approx(sum(sums) / len(sums))
    strict = step_metrics(replace(facts, success_above=0.8), diagnosis=None)
    assert strict["delta_mean_positive"] == metrics["delta_mean_positive"], (
        "the advantage does not depend on success_above"
    )
    assert strict["delta_sum_right"] != metrics["delta_sum_right"]


def test_without_a_teacher_there_are_no_teacher_metrics(facts):
    without_teacher = replace(facts, teacher_contexts=None, update=replace(facts.update, teacher_logps_BT=None))
    metrics = step_metrics(without_teacher, diagnosis=None)
    assert not [name for name in metrics if name.startswith(("delta", "weight", "clipped", "unheard"))]
    assert metrics["skipped"] == 10 / 16


def test_undefined_metrics_are_left_out(facts):
    no_teacher = replace(facts.step_tensors, teacher_mask_B=torch.zeros(16, dtype=torch.bool))
    without_hints = replace(facts, step_tensors=no_teacher, teacher_contexts=make_teacher_contexts(unheard=EVERY))
    metrics = step_metrics(without_hints, diagnosis=None)
    assert metrics["unheard"] == 1
    assert not [name for name in metrics if name.startswith("delta")]
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_passes_of_a_diagnosis(facts):
    diagnosed = [4, 5, 6, 7]
    rows = token_mask(lambda b, t: b in diagnosed)
    base, own, placebo = (SAMPLED + (numbers(seed) - 0.5) for seed in (5, 6, 7))
    diagnosis = Diagnosis(
        base_logps_BT=base.where(rows, torch.nan),
        hinted_logps_BT=own.where(rows, torch.nan),
        placebo_logps_BT=placebo.where(rows, torch.nan),
    )
    metrics = step_metrics(facts, diagnosis=diagnosis)
    positions = tokens(of=diagnosed)
    moved = [(base - SAMPLED)[position].item() for position in positions]
    assert metrics["kl_to_start"] == pytest.approx(sum(math.exp(x) - 1 - x for x in moved) / len(moved))
    assert metrics["hint_delta_abs_mean"] == pytest.approx(mean((own - SAMPLED).abs(), positions))
    assert metrics["placebo_delta_abs_mean"] == pytest.approx(mean((placebo - SAMPLED).abs(), positions))
    without = step_metrics(facts, diagnosis=replace(diagnosis, hinted_logps_BT=None, placebo_logps_BT=None))
    assert metrics.keys() - without.keys() == {"hint_delta_abs_mean", "placebo_delta_abs_mean"}


def test_the_cost_of_a_step(facts):
    costs = step_costs(facts)
    seconds = {"rollout_s": 2.0, "reward_s": 0.5, "teacher_s": 0.25, "update_s": 1.0, "step_s": 3.75}
    counts = {"rollout_tokens": 1234, "teacher_tokens": 78, "update_tokens": 56}
    assert costs.pop("peak_memory_bytes") > 2**20
    assert costs == seconds | counts


@pytest.mark.parametrize(
    "changes", [{}, {"method": "cepo", "success_above": 0.4}, {"method": "sdpo", "hint": "sibling"}]
)
def test_the_delta_metrics_of_a_run_agree_with_its_token_reports(changes):
    settings = tiny_settings(max_steps=1, token_share=1.0, **changes)
    recorder = Recorder()
    run(
        Experiment(
            settings=settings, policy=tiny_policy(settings), tasks=tiny_tasks(7), held_out=[], reward=vowel_share
        ),
        observer=recorder,
        resume=None,
    )
    (report,) = recorder.steps
    values = [rollout for rollout in report.rollouts if rollout.tokens.delta is not None]
    kinds = {
        "positive": [r for r in values if r.advantage > 0],
        "negative": [r for r in values if r.advantage < 0],
        "right": [r for r in values if r.record.score > settings.success_above],
        "wrong": [r for r in values if r.record.score <= settings.success_above],
    }
    for name in ("positive", "negative"):
        deltas = [delta for rollout in kinds[name] for delta in rollout.tokens.delta]
        assert report.metrics[f"delta_mean_{name}"] == pytest.approx(sum(deltas) / len(deltas), abs=1e-5)
    for name in ("right", "wrong"):
        sums = [sum(rollout.tokens.delta) for rollout in kinds[name]]
        assert report.metrics[f"delta_sum_{name}"] == pytest.approx(sum(sums) / len(sums), abs=1e-5)
