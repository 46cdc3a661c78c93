"""Hints for the teacher: from the row, from siblings, from other rows, or none."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.core.hints import Hint
from tests.worker.engine.tiny import tiny_tasks
from worker.engine.teacher.hints import other_rows_hints, placebo_hint, row_hint, sibling_hints

NAN = math.nan


def siblings(texts, rewards, *, kind=Hint.SIBLING, generations=4, count=9, seed=0, success_above=0.5):
    return sibling_hints(
        texts,
        torch.tensor(rewards, dtype=torch.float64),
        num_generations=generations,
        success_above=success_above,
        kind=kind,
        count=count,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Hint.ANSWER, "answer"),
        (Hint.SOLUTION, "solution"),
        (Hint.TRAJECTORY, "trajectory"),
        (Hint.PRIVILEGED, "privileged"),
        (Hint.GRADER, "looked_up"),
    ],
)
def test_a_rows_hint_is_its_own_text_and_a_missing_one_names_the_row(kind, field):
    task = tiny_tasks(1, first_row=17)[0]
    assert row_hint(task, kind=kind) == getattr(task, field)
    for missing in (None, "", " \n"):
        with pytest.raises(ValueError, match=f"row 17 has no {kind}"):
            row_hint(replace(task, **{field: missing}), kind=kind)


def test_sibling_hints_are_successes_and_wrong_sibling_hints_failures():
    texts, rewards = ["a", "b", "c", "d"], [1.0, 0.0, 1.0, 0.5]
    assert [sorted(hints) for hints in siblings(texts, rewards)] == [["c"], ["a", "c"], ["a"], ["a", "c"]]
    wrong = siblings(texts, rewards, kind=Hint.WRONG_SIBLING)
    assert [sorted(hints) for hints in wrong] == [["b", "d"], ["d"], ["b", "d"], ["b"]]


def test_no_hint_comes_from_another_group():
    texts = ["a", "b", "c", "d", "e", "f"]
    found = siblings(texts, [1.0, 0.0, 0.0, 0.0, 1.0, 1.0], generations=2)
    assert [sorted(hints) for hints in found] == [[], ["a"], [], [], ["f"], ["e"]]


def test_an_unscored_completion_is_neither_right_nor_wrong():
    texts, rewards = ["a", "b", "c", "d"], [NAN, 1.0, 0.0, NAN]
    assert siblings(texts, rewards) == [("b",), (), ("b",), ("b",)]
    assert siblings(texts, rewards, kind=Hint.WRONG_SIBLING) == [("c",), ("c",), (), ("c",)]


def test_copies_of_a_completion_are_no_hint_for_it_and_appear_once_for_others():
    found = siblings(["same", " same\n", "same", "other"], [1.0, 1.0, 1.0, 1.0])
    assert found[:3] == [("other",)] * 3
    assert found[3] == ("same",)


def test_an_empty_completion_is_no_hint():
    assert siblings(["", " \n", "x", "y"], [1.0, 1.0, 1.0, 0.0]) == [("x",), ("x",), (), ("x",)]


def test_the_generator_alone_decides_which_of_several_siblings_is_chosen():
    texts, rewards = [str(b) for b in range(32)], [1.0] * 32
    first = siblings(texts, rewards, generations=8, count=2)
    assert first == siblings(texts, rewards, generations=8, count=2)
    assert first != siblings(texts, rewards, generations=8, count=2, seed=1)
    several = {siblings(texts, rewards, generations=8, count=1, seed=seed)[0] for seed in range(60)}
    assert several == {(str(b),) for b in range(1, 8)}, "every sibling is chosen sometimes"


@given(
    texts=st.lists(st.sampled_from(["", "a", "b", "c", "a "]), min_size=8, max_size=8),
    rewards=st.lists(st.sampled_from([0.0, 0.5, 1.0, NAN]), min_size=8, max_size=8),
    kind=st.sampled_from([Hint.SIBLING, Hint.WRONG_SIBLING]),
    count=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_a_sequence_gets_up_to_count_different_siblings_of_the_kind_and_never_itself(texts, rewards, kind, count, seed):
    found = siblings(texts, rewards, kind=kind, count=count, seed=seed)
    for b, hints in enumerate(found):
        group = range(b - b % 4, b - b % 4 + 4)
        right = {texts[i].strip() for i in group if rewards[i] > 0.5}
        wrong = {texts[i].strip() for i in group if rewards[i] <= 0.5}
        allowed = (wrong if kind is Hint.WRONG_SIBLING else right) - {texts[b].strip(), ""}
        assert set(hints) <= allowed
        assert len(hints) == len(set(hints)) == min(count, len(allowed))


def test_a_placebo_is_a_different_hint_of_another_row():
    tasks = tiny_tasks(5)
    tasks[2] = replace(tasks[2], answer=tasks[1].answer)
    for index in range(5):
        for offset in range(7):
            hint = placebo_hint(tasks, index=index, kind=Hint.ANSWER, offset=offset)
            assert hint != tasks[index].answer
            assert hint in {task.answer for task in tasks}
    assert placebo_hint(tasks, index=0, kind=Hint.SOLUTION, offset=2) == tasks[2].solution


def test_if_all_rows_have_the_same_hint_there_is_no_placebo():
    tasks = [replace(task, answer="42") for task in tiny_tasks(3)]
    with pytest.raises(ValueError, match="all rows have the same answer"):
        placebo_hint(tasks, index=1, kind=Hint.ANSWER, offset=1)


def test_other_rows_hints_are_those_at_the_same_index_of_other_groups_nearest_first():
    hints_B = [("a",), ("b",), ("c", "a"), ("d",), ("e",), ("e", "f")]
    assert other_rows_hints(hints_B, rows_B=[1, 1, 2, 2, 3, 3], num_generations=2) == [
        ("c", "e"),
        ("d", "e", "f"),
        ("e",),
        ("e", "f", "b"),
        ("a", "c"),
        ("b", "d"),
    ]


def test_the_same_row_in_another_group_and_a_sequence_without_hints_give_no_other_rows_hints():
    assert other_rows_hints([("a",), ("b",), (), ("c",)], rows_B=[1, 1, 1, 1], num_generations=2) == [()] * 4
    assert other_rows_hints([("a",), (), ("b",), ("c",)], rows_B=[1, 1, 2, 2], num_generations=2)[1] == ()
