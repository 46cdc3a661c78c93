"""Every number that a step records (RLSD.md section 4), of a step made by hand, against sums written out here."""

import math
import statistics
from dataclasses import replace

import pytest
import torch

from tests.worker.engine.tiny import Recorder, Verdict, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.loop import run
from worker.engine.measure import Stopwatch
from worker.engine.methods import method_named
from worker.engine.methods.advantages import group_advantages
from worker.engine.methods.base import Credit
from worker.engine.rollouts.collect import RolloutBatch
from worker.engine.rollouts.prompts import Context, Prompt
from worker.engine.rollouts.reward import Scored, all_scored
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
THROWN_AWAY = [Verdict(0.5), Verdict(None, "error"), Verdict(0.5), Verdict(0.5)]
"""Of a group that was resampled: the verifier was asked about it too."""
LENGTHS = [1, 2, 3, 4, 5, 4, 3, 2, 1, 5, 3, 4, 2, 1, 5, 3]
LIVE = [8, 9, 10, 11, 12, 14]
UNHEARD = 11
"""A live sequence that there was no hint for."""
TEXTS = ["fine"] * 12 + ["", " \n", "As the reference solution has it, 4", "fine"]
CLIPPED = {(9, 0): -1, (9, 1): -1, (10, 1): 1, (12, 0): -1, (14, 2): 1, (14, 3): 1, (8, 0): -1}


def numbers(seed):
    """Some number for each token, no two alike."""
    return torch.rand(len(VERDICTS), T, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_mask(b, t):
    return t < LENGTHS[b]


def heard(b, t):
    """The hand-made teacher is never heard on anybody's second token, as if the reasoning had paused there."""
    return in_mask(b, t) and b in LIVE and b != UNHEARD and t != 1


def where(holds):
    return torch.tensor([[holds(b, t) for t in range(T)] for b in range(len(VERDICTS))])


MASK, HEARD = where(in_mask), where(heard)
LIVE_ROWS = where(lambda b, t: b in LIVE)
SAMPLED = -(2 * numbers(1)).where(MASK, 0.0)
STUDENT = (SAMPLED + 0.1 * numbers(2)).where(MASK, 0.0).where(LIVE_ROWS, torch.nan)
DELTAS = (4 * numbers(3) - 2).where(HEARD, 0.0)
WEIGHTS = (2 * numbers(4)).where(HEARD, 1.0)
RATIOS_HELD = where(lambda b, t: in_mask(b, t) and b in LIVE and (b + t) % 3 == 0)


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
    advantages = group_advantages(rewards, num_generations=G, scale=True)
    thrown_away = Scored(tuple(THROWN_AWAY), torch.tensor([0.5, math.nan, 0.5, 0.5], dtype=torch.float64))
    experience = RolloutBatch(rollouts, scored, advantages, 1, all_scored([thrown_away, scored]), 1234)
    clipped = torch.zeros(MASK.shape, dtype=torch.int8)
    for place, side in CLIPPED.items():
        clipped[place] = side
    return StepFacts(
        experience=experience,
        method=method_named("rlsd"),
        briefing=briefing(unheard=[UNHEARD]),
        signals=StepTensors(
            advantages_B=advantages,
            teacher_logps_BT=STUDENT + DELTAS,
            contrast_logps_BT=None,
            teacher_mask_B=torch.tensor([b in LIVE and b != UNHEARD for b in range(len(VERDICTS))]),
            teacher_mask_BT=where(lambda b, t: t != 1),
        ),
        live=LIVE,
        update=Update(
            loss=-0.125,
            gradient_norm=3.5,
            logps_BT=STUDENT,
            teacher_logps_BT=STUDENT + DELTAS,
            contrast_logps_BT=None,
            credit=Credit(advantages_BT=WEIGHTS, weights_BT=WEIGHTS, deltas_BT=DELTAS, clipped_BT=clipped),
            ratio_clipped_BT=RATIOS_HELD,
            num_tokens=56,
        ),
        lam=0.375,
        learning_rate=2e-5,
        teacher_tokens=78,
        success_above=0.5,
        watch=Stopwatch(torch.device("cpu"), {"rollout": 2.0, "reward": 0.5, "teacher": 0.25, "update": 1.0}),
    )


def briefing(*, unheard, too_long=()):
    """A hint for every sequence but some; those of `too_long` had one that did not fit."""
    read = tuple(None if b in unheard else Context((3, 4)) for b in range(len(VERDICTS)))
    absent = tuple(b in unheard and b not in too_long for b in range(len(VERDICTS)))
    return TeacherContexts(teacher_B=read, contrasts_KB=(), absent_B=absent)


def tokens(*, of, counted=in_mask):
    """The places of these sequences that count."""
    return [(b, t) for b in of for t in range(T) if counted(b, t)]


def mean(values, places):
    return sum(values[place].item() for place in places) / len(places)


EVERY = range(len(VERDICTS))
POSITIVE, NEGATIVE = [8, 10, 14], [9, 11, 12]
"""Live sequences above their group's mean and below it: 0.4375 and 0.5."""
RIGHT, WRONG = [8, 10, 14], [9, 12]
"""Those among the heard ones whose score is above 0.5, and the others."""


def test_the_rewards_and_groups_of_a_step(facts):
    metrics = step_metrics(facts, diagnosis=None)
    known = [verdict.score for verdict in VERDICTS if verdict.score is not None]
    assert metrics["reward_mean"] == pytest.approx(sum(known) / 13)
    assert metrics["reward_std"] == pytest.approx(statistics.stdev(known))
    assert metrics["groups_all_right"] == 1 / 4
    assert metrics["groups_all_wrong"] == 1 / 4
    assert metrics["groups_mixed"] == 2 / 4
    assert metrics["groups_resampled"] == 1


def test_a_group_is_all_right_or_all_wrong_by_what_counts_as_success_and_mixed_by_its_scores(facts):
    metrics = step_metrics(replace(facts, success_above=0.2), diagnosis=None)
    assert [metrics[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")] == [2 / 4, 0.0, 2 / 4]
    rewards = facts.experience.scored.rewards_B.clone()
    rewards[5] = 0.0
    scored = replace(facts.experience.scored, rewards_B=rewards)
    metrics = step_metrics(replace(facts, experience=replace(facts.experience, scored=scored)), diagnosis=None)
    assert [metrics[f"groups_{kind}"] for kind in ("all_right", "all_wrong", "mixed")] == [1 / 4, 0.0, 3 / 4]


def test_verdicts_are_counted_with_those_on_groups_that_were_thrown_away(facts):
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


def test_what_was_learnt_and_what_was_not(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert metrics["lambda"] == 0.375
    assert metrics["skipped"] == 10 / 16
    assert metrics["unheard"] == pytest.approx(1 / 6)
    assert metrics["hint_too_long"] == 0
    tight = step_metrics(replace(facts, briefing=briefing(unheard=[UNHEARD, 12], too_long=[12])), diagnosis=None)
    assert (tight["unheard"], tight["hint_too_long"]) == (pytest.approx(2 / 6), pytest.approx(1 / 6))
    assert metrics["loss"] == -0.125
    assert metrics["gradient_norm"] == 3.5
    assert metrics["learning_rate"] == 2e-5
    assert metrics["ratio_clipped"] == pytest.approx(mean(RATIOS_HELD, tokens(of=LIVE)))


def test_weights_are_clipped_low_and_high_on_shares_of_the_tokens_that_were_trained_on(facts):
    metrics = step_metrics(facts, diagnosis=None)
    assert len(tokens(of=LIVE)) == 20
    assert (metrics["clipped_low"], metrics["clipped_high"]) == (pytest.approx(4 / 20), pytest.approx(3 / 20))


def test_deltas_and_weights_are_split_by_the_sign_of_the_advantage(facts):
    metrics = step_metrics(facts, diagnosis=None)
    for name, chosen in (("positive", POSITIVE), ("negative", NEGATIVE)):
        assert metrics[f"delta_mean_{name}"] == pytest.approx(mean(DELTAS, tokens(of=chosen, counted=heard)))
        assert metrics[f"weight_mean_{name}"] == pytest.approx(mean(WEIGHTS, tokens(of=chosen)))


def test_the_evidence_of_a_completion_is_summed_for_right_and_for_wrong_ones(facts):
    metrics = step_metrics(facts, diagnosis=None)
    for name, chosen in (("right", RIGHT), ("wrong", WRONG)):
        sums = [sum(DELTAS[place].item() for place in tokens(of=[b], counted=heard)) for b in chosen]
        assert metrics[f"delta_sum_{name}"] == pytest.approx(sum(sums) / len(sums))
    strict = step_metrics(replace(facts, success_above=0.8), diagnosis=None)
    assert strict["delta_mean_positive"] == metrics["delta_mean_positive"], "the advantage does not ask what success is"
    assert strict["delta_sum_right"] != metrics["delta_sum_right"]


def test_without_a_teacher_nothing_is_said_of_its_evidence(facts):
    alone = replace(facts, briefing=None, update=replace(facts.update, teacher_logps_BT=None))
    metrics = step_metrics(alone, diagnosis=None)
    assert not [name for name in metrics if name.startswith(("delta", "weight", "clipped", "unheard"))]
    assert metrics["skipped"] == 10 / 16


def test_what_is_undefined_is_left_out(facts):
    nobody = replace(facts.signals, teacher_mask_B=torch.zeros(16, dtype=torch.bool))
    untold = replace(facts, signals=nobody, briefing=briefing(unheard=EVERY))
    metrics = step_metrics(untold, diagnosis=None)
    assert metrics["unheard"] == 1
    assert not [name for name in metrics if name.startswith("delta")]
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_passes_of_a_diagnosis(facts):
    looked_at = [4, 5, 6, 7]
    rows = where(lambda b, t: b in looked_at)
    base, own, placebo = (SAMPLED + (numbers(seed) - 0.5) for seed in (5, 6, 7))
    diagnosis = Diagnosis(
        base_logps_BT=base.where(rows, torch.nan),
        hinted_logps_BT=own.where(rows, torch.nan),
        placebo_logps_BT=placebo.where(rows, torch.nan),
    )
    metrics = step_metrics(facts, diagnosis=diagnosis)
    places = tokens(of=looked_at)
    moved = [(base - SAMPLED)[place].item() for place in places]
    assert metrics["kl_to_start"] == pytest.approx(sum(math.exp(x) - 1 - x for x in moved) / len(moved))
    assert metrics["hint_delta_abs_mean"] == pytest.approx(mean((own - SAMPLED).abs(), places))
    assert metrics["placebo_delta_abs_mean"] == pytest.approx(mean((placebo - SAMPLED).abs(), places))
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
def test_a_run_says_of_its_evidence_what_its_tokens_add_up_to(changes):
    settings = tiny_settings(max_steps=1, token_share=1.0, **changes)
    recorder = Recorder()
    run(
        settings,
        policy=tiny_policy(settings),
        tasks=tiny_tasks(7),
        held_out=[],
        reward=vowel_share,
        observer=recorder,
        resume=None,
    )
    (report,) = recorder.steps
    told = [rollout for rollout in report.rollouts if rollout.tokens.delta is not None]
    kinds = {
        "positive": [r for r in told if r.advantage > 0],
        "negative": [r for r in told if r.advantage < 0],
        "right": [r for r in told if r.record.score > settings.success_above],
        "wrong": [r for r in told if r.record.score <= settings.success_above],
    }
    for name in ("positive", "negative"):
        deltas = [delta for rollout in kinds[name] for delta in rollout.tokens.delta]
        assert report.metrics[f"delta_mean_{name}"] == pytest.approx(sum(deltas) / len(deltas), abs=1e-5)
    for name in ("right", "wrong"):
        sums = [sum(rollout.tokens.delta) for rollout in kinds[name]]
        assert report.metrics[f"delta_sum_{name}"] == pytest.approx(sum(sums) / len(sums), abs=1e-5)
