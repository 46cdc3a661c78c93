"""Practice: groups that mostly failed are sampled once more with a hint, and take the place of the failed ones."""

from dataclasses import replace

import pytest
import torch

from tests.worker.engine.tiny import Verdict, rollout_context, tiny_policy, tiny_prompt_builder, tiny_tasks
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import group_advantages
from worker.engine.rollouts.collect import collect_rollouts, trained_batch
from worker.engine.rollouts.drawing import SolveHistory
from worker.engine.rollouts.practice import failed_groups, practice_prompts
from worker.engine.rollouts.reward import Scored, VerifierFaults, rows_of_groups
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import batch_indices

ROWS, G = 9, 4


def hinted_prompts(policy, *, max_tokens=400, rows=ROWS):
    tasks = tiny_tasks(rows)
    hints = {task.row: task.solution for task in tasks}
    return practice_prompts(tasks, hints=hints, prompt_builder=tiny_prompt_builder(policy, max_tokens=max_tokens))


def right_in(rows):
    """Return a reward: half of the completions of these rows are right, all others wrong."""

    def reward(completions):
        return [Verdict(float(i % 2 and done.task.row in rows)) for i, done in enumerate(completions)]

    return reward


def collected(reward, *, practised=True, step=1, practice=None, prompts=None, **changes):
    policy = tiny_policy()
    settings = {"batch_size": 3, "max_completion_tokens": 12, "practice": practice or {}}
    context = replace(rollout_context(policy, **settings | changes), reward=reward)
    builder = tiny_prompt_builder(policy)
    asked = collect_rollouts(
        context,
        [builder.prompt(task) for task in tiny_tasks(ROWS)],
        practice_prompts=(hinted_prompts(policy) if prompts is None else prompts) if practised else None,
        history=SolveHistory(),
        step=step,
        watch=Stopwatch(policy.device),
    )
    return asked, trained_batch(asked, context=context)


def first_rows(step=1):
    return [index + 1 for index in batch_indices(step, seed=7, batch_size=3, num_rows=ROWS)]


def same_rollouts(one, other):
    return torch.equal(one.completion_ids_BT, other.completion_ids_BT) and one.texts == other.texts


def test_failed_groups_are_replaced_in_what_is_trained_on_and_stay_in_what_was_asked():
    kept = first_rows()[1]
    asked, trained = collected(right_in({kept}))
    plain, _ = collected(right_in({kept}), practised=False)
    assert same_rollouts(asked.rollouts, plain.rollouts), "the first sampling does not depend on practice"
    assert asked.practice.groups == (0, 2)
    assert [prompt.hint is None for prompt in asked.rollouts.prompts] == [True] * 3
    tasks = [prompt.task for prompt in trained.rollouts.prompts]
    assert [task.row for task in tasks] == first_rows(), "each in its place"
    assert [p.hint for p in trained.rollouts.prompts] == [tasks[0].solution, None, tasks[2].solution]
    decode = tiny_policy().tokenizer.decode
    for place in asked.practice.groups:
        assert f"Reference:\n{tasks[place].solution}" in decode(trained.rollouts.prompts[place].student.ids)
    assert trained.rollouts.practised_B.tolist() == [True] * G + [False] * G + [True] * G
    rows = rows_of_groups([1], num_generations=G)
    width = asked.rollouts.mask_BT.shape[1]
    assert torch.equal(trained.rollouts.completion_ids_BT[rows, :width], asked.rollouts.completion_ids_BT[rows])
    practised = rows_of_groups(asked.practice.groups, num_generations=G)
    assert [trained.rollouts.texts[b] for b in practised] == list(asked.practice.rollouts.texts)
    assert [trained.scored.records[b] for b in practised] == list(asked.practice.scored.records)


def test_the_advantages_are_those_of_the_practised_group_and_dropped_ones_have_none():
    def reward(completions):
        return [Verdict(0.4 * (i % 4 == 0) + 0.1 * (len(done.text) % 3)) for i, done in enumerate(completions)]

    asked, trained = collected(reward, success_above=0.9)
    assert asked.practice.groups == (0, 1, 2)
    assert not asked.advantages_B.any(), "a failed group is dropped also where its scores differ"
    expected = group_advantages(asked.practice.scored.rewards_B, num_generations=G, scale="std")
    assert torch.equal(trained.advantages_B, expected)
    assert trained.advantages_B.any()


def test_both_samplings_count_as_tokens_and_verdicts():
    asked, _ = collected(right_in(set()))
    plain, _ = collected(right_in(set()), practised=False)
    rollouts = asked.practice.rollouts
    read = sum(len(prompt.student.ids) for prompt in rollouts.prompts)
    assert asked.num_tokens == plain.num_tokens + read + int(rollouts.mask_BT.sum())
    assert len(asked.all_scored.records) == 2 * len(plain.all_scored.records)


def test_with_a_right_share_above_it_in_every_group_nothing_changes():
    everywhere = right_in(set(range(1, ROWS + 1)))
    asked, trained = collected(everywhere, practice={"below": 0.49})
    plain, _ = collected(everywhere, practised=False)
    assert asked.practice.groups == ()
    assert trained is asked
    assert same_rollouts(asked.rollouts, plain.rollouts)
    assert torch.equal(asked.advantages_B, plain.advantages_B)
    assert asked.num_tokens == plain.num_tokens
    assert collected(everywhere, practice={"below": 0.5})[0].practice.groups == (0, 1, 2)


def test_practice_is_a_function_of_seed_and_step():
    first, again = (collected(right_in(set()))[1] for _ in range(2))
    assert same_rollouts(first.rollouts, again.rollouts)
    assert not same_rollouts(first.rollouts, collected(right_in(set()), seed=8)[1].rollouts)


def test_resampling_leaves_groups_to_practice_and_replaces_the_other_dead_ones():
    always, never, mixed = first_rows()

    def reward(completions):
        def score(i, row):
            return 1.0 if row == always else 0.0 if row == never else float(i % 2)

        return [Verdict(score(i, done.task.row)) for i, done in enumerate(completions)]

    asked, _ = collected(reward, resample_rounds=3)
    rows = [prompt.task.row for prompt in asked.rollouts.prompts]
    assert rows[1:] == [never, mixed]
    assert rows[0] not in first_rows()
    assert asked.practice.groups == (1,)


def test_a_row_whose_prompt_is_too_long_with_its_hint_is_not_practised():
    policy = tiny_policy()
    lengths = {row: len(prompt.student.ids) for row, prompt in hinted_prompts(policy).items()}
    limit = sorted(lengths.values())[4]
    prompts = hinted_prompts(policy, max_tokens=limit)
    assert prompts.keys() == {row for row, length in lengths.items() if length <= limit}
    step = next(step for step in range(1, 4) if len(set(first_rows(step)) & prompts.keys()) in (1, 2))
    asked, trained = collected(right_in(set()), prompts=prompts, step=step)
    rows = first_rows(step)
    assert [rows[group] for group in asked.practice.groups] == [row for row in rows if row in prompts]
    assert [p.hint is not None for p in trained.rollouts.prompts] == [row in prompts for row in rows]


def test_failures_of_the_verifier_in_practice_stop_the_run_too():
    def broken_later(completions):
        hinted = len(calls) > 0
        calls.append(len(completions))
        return [Verdict(None, "error", "boom") if hinted else Verdict(0.0) for _ in completions]

    calls = []
    with pytest.raises(VerifierFaults, match="boom"):
        collected(broken_later, max_error_share=0.4)


NAN = float("nan")


@pytest.mark.parametrize(
    ("rewards", "below", "failed"),
    [
        ([0, 0, 0, 0], 0.0, True),
        ([1, 0, 0, 0], 0.0, False),
        ([1, 0, 0, 0], 0.25, True),
        ([1, 0, 0, 0], 0.24, False),
        ([1, 0, NAN, NAN], 0.25, False),
        ([0, NAN, NAN, NAN], 0.0, True),
        ([NAN, NAN, NAN, NAN], 0.9, False),
        ([0.5, 0.5, 0.5, 0.5], 0.0, True),
        ([1, 1, 1, 1], 0.9, False),
    ],
)
def test_a_group_failed_if_at_most_this_share_of_its_scored_completions_was_right(rewards, below, failed):
    policy = tiny_policy()
    prompts = hinted_prompts(policy, rows=1)
    mask = torch.ones(G, 2, dtype=torch.bool)
    rollouts = Rollouts(tuple(prompts.values()), G, mask.long(), mask, mask.float(), ~mask[:, 0], ("",) * G)
    scored = Scored((Verdict(0.0),) * G, torch.tensor(rewards, dtype=torch.float64))
    settings = rollout_context(policy, practice={"below": below}).settings
    found = failed_groups(rollouts, scored, prompts=prompts, settings=settings)
    assert found == ([0] if failed else [])


def test_shares_such_as_29_of_100_are_compared_without_rounding_errors():
    policy = tiny_policy()
    prompts = hinted_prompts(policy, rows=1)
    mask = torch.ones(100, 1, dtype=torch.bool)
    rollouts = Rollouts(tuple(prompts.values()), 100, mask.long(), mask, mask.float(), ~mask[:, 0], ("",) * 100)
    scored = Scored((Verdict(0.0),) * 100, torch.tensor([1.0] * 29 + [0.0] * 71, dtype=torch.float64))
    settings = rollout_context(policy, practice={"below": 0.29}).settings
    assert failed_groups(rollouts, scored, prompts=prompts, settings=settings) == [0]
