"""Continuous batching: a completion depends neither on the other rows nor on when they were added."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.db.base import Json
from tests.worker.engine.tiny import save_tiny_model, tiny_model, tiny_policy, tiny_settings, tiny_tokenizer
from tests.worker.engine.tiny_vision import draw_image as picture
from tests.worker.engine.tiny_vision import save_tiny_vision_model
from worker.engine.faults import Fault
from worker.engine.model.adapter_files import Adapter, adapter_from_archive
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.model.policy_loading import load_untrained
from worker.engine.rollouts.prompts import Context, LengthLimits, PromptBuilder
from worker.engine.training.checkpoint import RunState, adapter_from_checkpoint, pack
from worker.engine.training.optimizer import make_optimizer
from worker.engine.types import Task
from worker.exports.adapter_zip import write_adapter_zip
from worker.serving.adapters import AdaptedBase
from worker.serving.batch import Batch, SequenceSlot, sample_next

QUESTIONS = ("Why?", "How many beans make five, and who counts them?", "Tell me more about the sea and its tides.")


def base(**model: int) -> AdaptedBase:
    made, tokenizer = tiny_model(**model).eval().requires_grad_(False), tiny_tokenizer()
    policy = Policy(model=made, tokenizer=tokenizer, device=made.device, pad_id=1, eos_ids=(0,))
    return AdaptedBase(policy, max_adapters=2)


def text_context(policy: Policy, question: str) -> Context:
    return context_of(policy, question, ())


def context_of(policy: Policy, question: str, images: tuple[bytes, ...]) -> Context:
    messages = ({"role": "user", "content": question},)
    task = Task(0, messages, answer=None, solution=None, trajectory=None, privileged=None, item={}, images=images)
    return PromptBuilder(policy.tokenizer, LengthLimits(400, 400), policy.vision).prompt(task).student


def slot(
    policy: Policy,
    question: str | Context = QUESTIONS[0],
    *,
    adapter: str | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_logprobs: int | None = None,
    seed: int = 0,
) -> SequenceSlot:
    context = text_context(policy, question) if isinstance(question, str) else question
    return SequenceSlot(context, adapter, temperature, top_p, top_logprobs, Random(seed))


def written(batch: Batch, slots: Sequence[SequenceSlot], *, tokens: int, late: int = 0) -> list[list[int]]:
    """Each slot's tokens; every next one joins `late` tokens after the one before it."""
    tokens_of: dict[SequenceSlot, list[int]] = {slot: [] for slot in slots}
    waiting, now = list(slots), 0
    while waiting or batch.slots:
        count = len(waiting) if late == 0 else int(now % late == 0)
        batch.add(waiting[:count])
        waiting, now = waiting[count:], now + 1
        for sampled in batch.sample():
            tokens_of[sampled.slot].append(sampled.token)
        ended = {slot for slot in batch.slots if len(tokens_of[slot]) == tokens or tokens_of[slot][-1] in (0,)}
        batch.remove(ended)
        batch.forward()
    return list(tokens_of.values())


def random_adapter_policy(seed: int, *, r: int = 4) -> Policy:
    """A policy with random adapter weights, as if trained."""
    policy = tiny_policy(tiny_settings(lora_r=r))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.adapter(LIVE_ADAPTER).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return policy


def adapter(seed: int, *, r: int = 4) -> Adapter:
    policy = random_adapter_policy(seed, r=r)
    tensors = {name: value.detach() for name, value in policy.adapter(LIVE_ADAPTER).items()}
    return Adapter(policy.model.peft_config[LIVE_ADAPTER], tensors)


@pytest.mark.parametrize("late", [0, 1, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_batch_writes_what_each_row_writes_alone(late: int, temperature: float) -> None:
    adapted = base()
    make = lambda: [  # noqa: E731
        slot(adapted.policy, question, temperature=temperature, top_p=0.9, seed=place)
        for place, question in enumerate(QUESTIONS)
    ]
    alone = [written(Batch(adapted), [one], tokens=30)[0] for one in make()]
    assert written(Batch(adapted), make(), tokens=30, late=late) == alone
    assert len({tuple(tokens) for tokens in alone}) == len(QUESTIONS)


def test_a_greedy_answer_is_that_of_the_plain_model() -> None:
    adapted = base()
    context = text_context(adapted.policy, QUESTIONS[1])
    reference = adapted.policy.model.generate(
        torch.tensor([context.ids]), max_new_tokens=150, do_sample=False, pad_token_id=1
    )[0, len(context.ids) :]
    found = written(Batch(adapted), [slot(adapted.policy, context)], tokens=150)[0]
    assert found == reference.tolist()[: len(found)]
    assert len(found) > 100


def test_several_completions_of_a_prompt_read_it_once_and_differ() -> None:
    adapted = base()
    context = text_context(adapted.policy, QUESTIONS[0])
    slots = [slot(adapted.policy, context, temperature=1.0, seed=seed) for seed in range(4)]
    widths = []
    adapted.policy.model.register_forward_pre_hook(
        lambda _, __, kwargs: widths.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    found = written(Batch(adapted), slots, tokens=12)
    assert widths[0] == (1, len(context.ids))
    assert len({tuple(tokens) for tokens in found}) == 4


def test_a_seed_gives_the_same_answer_again_and_another_seed_another_one() -> None:
    adapted = base()
    sample = lambda seed: written(  # noqa: E731
        Batch(adapted), [slot(adapted.policy, temperature=1.0, seed=seed)], tokens=20
    )
    assert sample(5) == sample(5) != sample(6)


@pytest.mark.parametrize("late", [0, 3])
def test_rows_with_adapters_of_their_own_write_what_each_writes_alone(late: int) -> None:
    adapted = base()
    for name, made in {"one": adapter(1), "two": adapter(2, r=8)}.items():
        adapted.add(name, made, in_use=set())
    names = (None, "one", "two", "one")
    make = lambda: [  # noqa: E731
        slot(adapted.policy, QUESTIONS[place % 3], adapter=name) for place, name in enumerate(names)
    ]
    alone = [written(Batch(adapted), [one], tokens=25)[0] for one in make()]
    assert written(Batch(adapted), make(), tokens=25, late=late) == alone
    assert len({tuple(tokens) for tokens in alone}) == 4
    assert alone[0] == written(Batch(base()), [slot(adapted.policy, QUESTIONS[0])], tokens=25)[0]


def test_an_adapter_answers_as_the_policy_that_was_trained(tmp_path: Path) -> None:
    trained, adapted = random_adapter_policy(3), base()
    manifest: Json = {
        "base_model": {"name": "tiny", "sha256": "0"},
        "settings": {"method": "rlsd", "lora": {"r": 4}},
        "evaluations": [],
        "trained_tokens": 1,
        "job": {"name": "n"},
        "steps": 1,
        "code": {"version": "1"},
    }
    write_adapter_zip(trained, tmp_path / "a.zip", base_model="tiny", manifest=manifest)
    checkpoint = pack(
        trained,
        make_optimizer(trained, settings=tiny_settings()),
        run_state=RunState(step=1, baseline=None, score=None),
        kept_adapter={},
    )
    adapted.add("archive", adapter_from_archive((tmp_path / "a.zip").read_bytes()), in_use=set())
    adapted.add("checkpoint", adapter_from_checkpoint(checkpoint, r=4, alpha=8.0), in_use=set())
    context = text_context(adapted.policy, QUESTIONS[1])
    expected = trained.model.generate(
        input_ids=torch.tensor([context.ids]), max_new_tokens=25, do_sample=False, pad_token_id=1
    )[0, len(context.ids) :].tolist()
    for name in ("archive", "checkpoint"):
        assert written(Batch(adapted), [slot(adapted.policy, context, adapter=name)], tokens=25)[0] == expected


def test_the_adapter_used_longest_ago_makes_room_unless_it_is_in_use() -> None:
    adapted = base()
    for name, seed in (("a", 1), ("b", 2)):
        adapted.add(name, adapter(seed), in_use=set())
    before = written(Batch(adapted), [slot(adapted.policy, adapter="a")], tokens=9)
    adapted.add("c", adapter(3), in_use={"b"})
    assert ("a" in adapted, "b" in adapted, "c" in adapted) == (False, True, True)
    adapted.add("a", adapter(1), in_use=set())
    assert written(Batch(adapted), [slot(adapted.policy, adapter="a")], tokens=9) == before


def test_an_adapter_of_another_model_is_refused_and_leaves_nothing() -> None:
    adapted = base(hidden=48)
    with pytest.raises(ValueError, match="belongs to another model"):
        adapted.add("alien", adapter(1), in_use=set())
    assert "alien" not in adapted
    with pytest.raises(ValueError, match="not an adapter archive"):
        adapter_from_archive(b"PK\x05\x06")


def test_log_probabilities_are_the_models_at_temperature_one() -> None:
    adapted = base()
    one, other = (slot(adapted.policy, QUESTIONS[place], temperature=2.0, top_logprobs=3 * place) for place in (0, 1))
    batch = Batch(adapted)
    batch.add([slot(adapted.policy, QUESTIONS[2]), one, other])
    sampled = {found.slot: found for found in batch.sample()}
    bare, full = sampled.pop(one), sampled.pop(other)
    (silent,) = sampled.values()
    assert (silent.logprob, bare.alternatives) == (None, ())
    logps = adapted.policy.model(torch.tensor([other.context.ids])).logits[0, -1].log_softmax(-1)
    assert full.logprob == pytest.approx(logps[full.token].item(), abs=1e-4)
    assert [token for token, _ in full.alternatives] == logps.topk(3).indices.tolist()
    assert [logp for _, logp in full.alternatives] == pytest.approx(logps.topk(3).values.tolist(), abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_answers_no_number_amid_an_answer_is_a_fault(temperature: float) -> None:
    adapted = base()
    batch = Batch(adapted)
    batch.add([slot(adapted.policy, temperature=temperature)])
    batch.sample()
    with torch.no_grad():
        adapted.policy.model.model.norm.weight.fill_(torch.nan)
    batch.forward()
    with pytest.raises(Fault, match="token probabilities are NaN or infinite"):
        batch.sample()


def test_padding_that_nobody_needs_any_more_is_cut_away() -> None:
    adapted = base()
    long, short = slot(adapted.policy, "x" * 200), slot(adapted.policy, "y", temperature=0.0)
    batch = Batch(adapted)
    batch.add([long, short])
    batch.sample()
    batch.remove({long})
    assert batch._rows is not None
    assert batch._rows.attention_BL.shape[1] == len(short.context.ids)
    batch.forward()
    rest = [batch.sample()[0].token]
    alone = written(Batch(adapted), [slot(adapted.policy, "y")], tokens=2)[0]
    assert rest == alone[1:]


@given(
    logits=st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=8),
    top_p=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_a_token_outside_of_the_nucleus_is_never_drawn(logits: list[float], top_p: float, seed: int) -> None:
    context = Context((1,))
    slot = SequenceSlot(context, None, 0.7, top_p, None, Random(seed))
    token = int(sample_next(torch.tensor([logits]), [slot])[0])
    probabilities = (torch.tensor(logits) / 0.7).softmax(-1)
    likelier = probabilities[probabilities > probabilities[token] + 1e-6].sum().item()
    assert likelier <= top_p + 1e-4


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    slot = SequenceSlot(Context((1,)), None, 1.0, 1.0, None, Random(0))
    counts = Counter(int(sample_next(logits, [slot])[0]) for _ in range(4000))
    for token, probability in enumerate(logits.softmax(-1)[0].tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


def test_rows_with_and_without_pictures_write_what_each_writes_alone(tmp_path: Path) -> None:
    source = save_tiny_vision_model(tmp_path / "vision")
    policy = load_untrained(source, dtype="float32", device="cpu", allow_remote_code=False)
    adapted = AdaptedBase(policy, max_adapters=1)

    shown = [(), (picture(1),), (picture(2, size=(40, 24)), picture(3))]
    contexts = [context_of(policy, "What is it?", pictures) for pictures in shown]
    make = lambda: [slot(policy, context) for context in contexts]  # noqa: E731
    alone = [written(Batch(adapted), [one], tokens=12)[0] for one in make()]
    assert written(Batch(adapted), make(), tokens=12) == alone
    assert written(Batch(adapted), make(), tokens=12, late=2) == alone


def test_a_model_for_answers_is_loaded_as_it_is(tmp_path: Path) -> None:
    policy = load_untrained(save_tiny_model(tmp_path), dtype="float32", device="cpu", allow_remote_code=False)
    assert not any(parameter.requires_grad for parameter in policy.model.parameters())
    assert not policy.model.training
    assert policy.adapter(LIVE_ADAPTER) == {}
