"""The end of the reasoning, whatever tokens its marker consists of."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.thinking import thinking_policy
from tests.worker.engine.tiny import Recorder, tiny_settings, tiny_tasks, tiny_tokenizer, vowel_share
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.teacher.reasoning import reasoning_mask


class Pieces:
    """A decoder whose tokens are the given pieces of bytes, in order."""

    def __init__(self, *pieces):
        self.pieces = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]

    def text(self, token_ids):
        return b"".join(self.pieces[token] for token in token_ids).decode(errors="replace")


def reasoning_tokens(pieces, *, end="</think>", length=None):
    """Count the reasoning tokens of one completion of these pieces, padded with two more."""
    ids = torch.tensor([[*range(len(pieces)), 0, 0]])
    length = len(pieces) if length is None else length
    mask = torch.arange(ids.shape[1])[None] < length
    found = reasoning_mask(ids, mask, decode=Pieces(*pieces).text, end=end)
    assert not (found & ~mask).any()
    count = int(found.sum())
    assert found[0, :count].all(), "the reasoning is a prefix"
    return count


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        (["so", "</think>", "42"], 2),
        (["so", "</", "think", ">", "42"], 4),
        (["so<", "/th", "ink>4", "2"], 3),
        (["s", "o</t", "h", "i", "n", "k", ">", " 42", "."], 7),
        (["</think>", "42"], 1),
        (["so", "42", "</think>"], 3),
        (["a", "</think>", "b", "</think>", "c"], 2),
        (["</thin", "g>", "</think", ">", "x"], 4),
    ],
)
def test_the_token_that_completes_the_end_is_the_last_one_of_the_reasoning(pieces, count):
    assert reasoning_tokens(pieces) == count


def test_without_an_end_all_tokens_are_reasoning():
    assert reasoning_tokens(["so", "on", "</thin"]) == 3


def test_an_end_outside_the_mask_is_no_end():
    assert reasoning_tokens(["so", "on", "</think>", "x"], length=2) == 2


def test_characters_of_several_tokens_shift_nothing():
    euro, emoji = "€".encode(), "🙂".encode()
    assert reasoning_tokens([euro[:1], euro[1:2], euro[2:], "</", "think>", emoji[:2], emoji[2:]]) == 5
    assert reasoning_tokens([emoji[:3], emoji[3:] + b"</think>", "x"]) == 2
    end = "结束"
    pieces = [end.encode()[i : i + 2] for i in range(0, 6, 2)]
    assert reasoning_tokens(["a", *pieces, "b"], end=end) == 4


@given(
    before=st.text(alphabet="ab<>/€🙂", max_size=6),
    after=st.text(alphabet="ab€🙂", max_size=4),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_however_the_text_is_cut_the_first_token_that_completes_the_end_is_found(before, after, cuts):
    data = f"{before}</think>{after}".encode()
    ends = len(before.encode()) + len(b"</think>")
    points = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(points)]
    expected = next(i for i, end in enumerate(points[1:], start=1) if end >= ends)
    assert reasoning_tokens(pieces) == expected


def test_every_sequence_has_its_own_end_with_a_real_tokenizer():
    tokenizer = tiny_tokenizer()
    texts = ["hm € </think>42", "no end at all", "</think>"]
    ids = [tokenizer.encode(text) for text in texts]
    width = max(map(len, ids))
    padded = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in ids])
    mask = torch.arange(width)[None] < torch.tensor([[len(row)] for row in ids])
    found = reasoning_mask(padded, mask, decode=tokenizer.decode, end="</think>").sum(1).tolist()
    assert found == [len("hm € </think>".encode()), len(texts[1]), len(texts[2])]


def test_an_end_that_the_verifier_does_not_see_still_ends_the_reasoning():
    settings = tiny_settings(
        max_steps=1,
        token_share=1.0,
        max_completion_tokens=60,
        temperature=3.0,
        micro_batch_tokens=4000,
        reasoning_only=True,
        skip_special_tokens=True,
    )
    policy, recorder = thinking_policy(settings), Recorder()
    run(
        Experiment(settings=settings, policy=policy, tasks=tiny_tasks(7), held_out=[], reward=vowel_share),
        observer=recorder,
        resume=None,
    )
    (end,) = policy.tokenizer.encode("</think>", add_special_tokens=False)
    after = [
        rollout.tokens.delta[rollout.tokens.ids.index(end) + 1 :]
        for rollout in recorder.steps[0].rollouts
        if end in rollout.tokens.ids and rollout.tokens.delta is not None
    ]
    assert sum(map(len, after)) > 20
    assert all(delta == 0 for deltas in after for delta in deltas)
