"""A step with practised groups: its gradient, what it reports and measures, and when it counts as dead."""

import statistics
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from backend.core.methods import METHODS
from backend.core.settings.choices import RewardScale
from tests.worker.engine.tiny import Recorder, Verdict, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.experiment import Experiment, make_train_context
from worker.engine.loop import run
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import group_advantages
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.rollouts.collect import collect_rollouts, trained_batch
from worker.engine.step import take_step
from worker.engine.training.leakage import COPIED_WORDS, copying_share
from worker.engine.types import Ending

REWARDED = sorted(name for name, method in METHODS.items() if method.rewarded)
G = 4


def in_turn(*rewards):
    """Return a reward that uses these one after the other: without a hint, then in practice."""
    calls = []

    def reward(completions):
        calls.append(len(completions))
        return rewards[(len(calls) - 1) % len(rewards)](completions)

    return reward


def never(completions):
    return [Verdict(0.0) for _ in completions]


def half(completions):
    return [Verdict(float(i % 2)) for i, _ in enumerate(completions)]


def half_of_row(row):
    def reward(completions):
        return [Verdict(float(i % 2 and done.task.row == row)) for i, done in enumerate(completions)]

    return reward


def train_context(*, reward, policy=None, recorder=None, **changes):
    changes = {"practice": {}, "diagnostic_interval": 0} | changes
    if METHODS[changes.get("method", "rlsd")].hint is not None:
        changes["hint"] = METHODS[changes["method"]].hint
    settings = tiny_settings(**changes)
    policy = policy or tiny_policy(settings, random_adapters=True)
    experiment = Experiment(
        settings=settings, policy=policy, tasks=tiny_tasks(3), held_out=tiny_tasks(2), reward=reward
    )
    return make_train_context(experiment, observer=recorder or Recorder())


def run_training(*, reward, **changes):
    recorder = Recorder()
    settings = tiny_settings(**{"diagnostic_interval": 0} | changes)
    experiment = Experiment(
        settings=settings, policy=tiny_policy(settings), tasks=tiny_tasks(6), held_out=[], reward=reward
    )
    return run(experiment, observer=recorder, resume=None), recorder


def collected(context):
    asked = collect_rollouts(
        context,
        context.prompts,
        practice_prompts=context.practice_prompts,
        history=context.history,
        step=1,
        watch=Stopwatch(context.policy.device),
    )
    return asked, trained_batch(asked, context=context)


def gradients_of(context):
    """Return the gradients of a first step, which AdamW's first moments hold."""
    beta = context.optimizer.param_groups[0]["betas"][0]
    parameters = context.policy.adapter(LIVE_ADAPTER).items()
    return {name: context.optimizer.state[parameter]["exp_avg"] / (1 - beta) for name, parameter in parameters}


def naive_logps(policy, context, ids):
    """Compute log-probabilities of a completion after its prompt, in one plain pass."""
    logits = policy.model(input_ids=torch.tensor([[*context.ids, *ids]])).logits[0, len(context.ids) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]


@pytest.mark.parametrize("loss", ["token_mean", "sequence_mean", "constant"])
@pytest.mark.parametrize("micro_batch_tokens", [64, 4096])
def test_the_gradient_is_that_of_grpo_on_the_hinted_prompt_plus_grpo_on_the_rest(loss, micro_batch_tokens):
    kept = 2
    changes = {"method": "grpo", "loss": loss, "max_grad_norm": 1000.0, "micro_batch_tokens": micro_batch_tokens}

    def context():
        found = train_context(reward=in_turn(half_of_row(kept), half), **changes)
        found.policy.model.double()
        return found

    stepped = context()
    report = take_step(stepped, 1)
    found = gradients_of(stepped)
    assert report.metrics["practice_groups"] == 2

    fresh = context()
    asked, _ = collected(fresh)
    tasks = {task.row: task for task in tiny_tasks(3)}
    sequences = []
    for rollouts, records in ((asked.rollouts, asked.scored), (asked.practice.rollouts, asked.practice.scored)):
        advantages = group_advantages(records.rewards_B, num_generations=G, scale=RewardScale.STD)
        hinted = rollouts is asked.practice.rollouts
        for b in range(rollouts.num_sequences):
            prompt = rollouts.prompt_of(b)
            if (prompt.task.row == kept) == hinted:
                continue  # the failed groups are dropped
            text = fresh.policy.tokenizer.decode(prompt.student.ids)
            assert (f"\n\nReference:\n{tasks[prompt.task.row].solution}<|end|>" in text) == hinted
            ids = rollouts.completion_ids_BT[b, : rollouts.lengths_B[b]].tolist()
            sequences.append((prompt.student, ids, advantages[b].double()))
    assert len(sequences) == 3 * G
    tokens = sum(len(ids) for _, ids, _ in sequences)
    weight = {
        "token_mean": lambda length: 1 / tokens,
        "sequence_mean": lambda length: 1 / length / len(sequences),
        "constant": lambda length: 1 / len(sequences) / fresh.settings.max_completion_tokens,
    }[loss]
    parameters = fresh.policy.adapter(LIVE_ADAPTER)
    for prompt, ids, advantage in sequences:
        (-(advantage * weight(len(ids)) * naive_logps(fresh.policy, prompt, ids)).sum()).backward()
    assert max(parameter.grad.abs().max() for parameter in parameters.values()) > 1e-3
    for name, parameter in parameters.items():  # rho is 1 up to the float32 of the sampler's log-probabilities
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", REWARDED)
def test_practised_completions_get_the_credit_of_grpo_and_no_teacher_whatever_the_method(method):
    changes = {"method": method, "token_share": 1.0, "success_above": 0.5, "normalise": True, "teacher": "live"}
    context = train_context(reward=in_turn(half_of_row(1), half), **changes)
    report = take_step(context, 1)
    practised = [rollout for rollout in report.rollouts if rollout.hint is not None]
    assert len(practised) == 2 * G
    assert {abs(rollout.advantage) > 0 for rollout in practised} == {True}
    for rollout in practised:
        tokens = rollout.tokens
        assert tokens.logp_teacher is tokens.logp_contrast is tokens.delta is None
        assert tokens.weight == [1.0] * len(tokens.ids)
        assert tokens.advantage == [pytest.approx(rollout.advantage, rel=1e-6)] * len(tokens.ids)
    assert report.metrics["skipped"] == 0
    if method != "grpo":
        [heard] = {rollout.row for rollout in report.rollouts if rollout.tokens.logp_teacher is not None}
        assert heard == 1
        assert report.metrics["unheard"] == 0


@pytest.mark.parametrize("method", [method for method in REWARDED if method != "grpo"])
def test_if_every_group_is_practised_each_method_is_grpo_to_the_bit(method):
    adapters = []
    for each in ("grpo", method):
        context = train_context(reward=in_turn(never, half), method=each, diagnostic_interval=1)
        report = take_step(context, 1)
        assert report.metrics["practice_groups"] == 3
        assert report.metrics["teacher_tokens"] == 0
        assert report.metrics["gradient_norm"] > 0
        adapters.append(context.policy.adapter(LIVE_ADAPTER))
    assert all(torch.equal(adapters[1][name], value) for name, value in adapters[0].items())


def test_the_report_lists_what_was_asked_first_and_then_practice_with_its_hint():
    context = train_context(reward=in_turn(half_of_row(1), half), method="grpo", token_share=1.0)
    report = take_step(context, 1)
    asked, practised = report.rollouts[: 3 * G], report.rollouts[3 * G :]
    assert {rollout.hint for rollout in asked} == {None}
    solutions = {task.row: task.solution for task in tiny_tasks(3)}
    assert [rollout.hint for rollout in practised] == [solutions[rollout.row] for rollout in practised]
    assert [rollout.sample for rollout in practised] == [0, 1, 2, 3] * 2
    assert {rollout.row for rollout in practised} == {2, 3}
    for rollout in asked:
        dropped = rollout.row != 1
        assert (rollout.advantage == 0) == dropped
        assert set(rollout.tokens.weight) == {1.0}
        if dropped:
            assert set(rollout.tokens.advantage) == {0.0}
    batch, _ = collected(train_context(reward=in_turn(half_of_row(1), half), method="grpo"))
    assert [rollout.completion for rollout in asked] == list(batch.rollouts.texts)
    assert [rollout.completion for rollout in practised] == list(batch.practice.rollouts.texts)


def test_practice_has_metrics_of_its_own_and_changes_none_of_the_others():
    def partly(completions):
        return [Verdict(None, "abstain") if i % 4 == 0 else Verdict(0.25 * (i % 4)) for i, _ in enumerate(completions)]

    settings = {"method": "grpo", "success_above": 0.4, "batch_size": 3}
    plain = take_step(train_context(reward=half_of_row(1), **settings, practice=None), 1).metrics
    metrics = take_step(train_context(reward=in_turn(half_of_row(1), partly), **settings), 1).metrics
    own = {name: value for name, value in metrics.items() if name.startswith("practice_")}
    assert own == {
        "practice_groups": 2,
        "practice_mixed": 1,
        "practice_right_before": 0,
        "practice_right": pytest.approx(2 / 3),
        "practice_reward_mean": pytest.approx(statistics.mean([0.25, 0.5, 0.75])),
        "practice_leakage": 0,
    }
    first = ("reward_mean", "reward_std", "groups_", "completion_", "truncated", "empty", "entropy", "leakage")
    assert {k: v for k, v in metrics.items() if k.startswith(first)} == {
        k: v for k, v in plain.items() if k.startswith(first)
    }
    assert metrics["rollout_tokens"] > 2 * plain["rollout_tokens"] * 2 / 3
    assert "practice_groups" not in plain


def test_copies_of_long_hints_are_counted():
    hint = "add three and four, then double the sum to get fourteen"
    words = hint.replace(",", "").split()
    run_of = " ".join(words[1 : 1 + COPIED_WORDS])
    texts = [hint, f"So: {run_of.upper()}!", " ".join(words[: COPIED_WORDS - 1]), "it is fourteen", ""]
    assert copying_share(texts, [hint] * len(texts)) == 2 / 5
    assert copying_share(["14", hint], ["14", hint]) == 1, "a short hint does not count"
    assert copying_share(["14"], ["14"]) != copying_share(["14"], ["14"]), "NaN"


def test_if_no_group_failed_the_run_is_the_same_to_the_bit():
    def mixed(completions):
        return half(completions)

    runs = [run_training(reward=mixed, method="rlsd", practice=practice)[1] for practice in (None, {"below": 0.4})]
    plain, practising = (load(recorder.checkpoints[-1].data) for recorder in runs)
    assert [step.metrics["practice_groups"] for step in runs[1].steps] == [0] * 4
    assert plain.keys() == practising.keys()
    assert all(torch.equal(plain[name], practising[name]) for name in plain)
    for one, other in zip(runs[0].steps, runs[1].steps, strict=True):
        assert one.rollouts == other.rollouts


def test_a_dead_practised_group_is_dropped_also_from_the_distance_to_the_base_model():
    context = train_context(reward=in_turn(half_of_row(1), never), method="grpo", kl_beta=0.1)
    report = take_step(context, 1)
    assert report.metrics["practice_mixed"] == 0
    assert report.metrics["skipped"] == pytest.approx(2 / 3)
    alive = take_step(train_context(reward=in_turn(half_of_row(1), half), method="grpo", kl_beta=0.1), 1)
    assert alive.metrics["skipped"] == 0


def test_a_step_is_dead_only_if_practice_has_no_signal_either():
    settings = {"method": "grpo", "max_steps": 6, "max_dead_steps": 2, "practice": {}}
    ending, recorder = run_training(reward=in_turn(never, half), **settings)
    assert ending is Ending.DONE
    assert [report.metrics["groups_all_wrong"] for report in recorder.steps] == [1] * 6
    ending, recorder = run_training(reward=never, **settings)
    assert ending is Ending.NO_SIGNAL
    [message] = [message for _, code, message in recorder.events if code == "no_signal"]
    assert "no question had completions with different scores, nor had any that was practised with a hint" in message


def test_rows_that_are_too_long_with_their_hint_are_an_event():
    builder = train_context(reward=vowel_share).practice_prompts
    limit = max(len(prompt.student.ids) for prompt in builder.values()) - 1
    recorder = Recorder()
    # "grpo": a teacher would need all hints.
    context = train_context(reward=vowel_share, recorder=recorder, max_prompt_tokens=limit, method="grpo")
    assert 0 < len(context.practice_prompts) < 3
    [(level, code, message)] = recorder.events
    assert (level, code) == ("warn", "practice_too_long")
    assert f"{3 - len(context.practice_prompts)} of 3 rows are never practised" in message


def test_evaluations_have_no_hint_and_a_placebo_is_that_of_another_row():
    context = train_context(reward=vowel_share, practice={"hint": "placebo", "placebo_of": "answer"})
    assert {prompt.hint for prompt in context.eval_prompts} == {None}
    hints = {row: prompt.hint for row, prompt in context.practice_prompts.items()}
    assert sorted(hints.values()) == ["answer 1", "answer 2", "answer 3"]
    assert all(hint != f"answer {row}" for row, hint in hints.items())


def test_a_method_without_scores_cannot_practise_and_a_row_without_the_hint_is_named():
    with pytest.raises(ValueError, match="but opsd does not learn from scores"):
        train_context(reward=vowel_share, method="opsd")
    tasks = [*tiny_tasks(2), replace(tiny_tasks(1, first_row=9)[0], solution=None)]
    settings = tiny_settings(method="grpo", practice={})
    experiment = Experiment(
        settings=settings, policy=tiny_policy(settings), tasks=tasks, held_out=[], reward=vowel_share
    )
    with pytest.raises(ValueError, match="row 9 has no solution"):
        make_train_context(experiment, observer=Recorder())
