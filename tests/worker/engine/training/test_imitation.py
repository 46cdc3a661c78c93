"""Imitation of given completions: what is imitated, and that loss and gradients equal TRL's."""

from dataclasses import replace

import pytest
import torch

from backend.core.hints import Hint
from tests.worker.engine.tiny import tiny_policy, tiny_prompt_builder, tiny_prompts, tiny_settings, tiny_tasks
from worker.engine.faults import Fault
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.training.demonstrations import demonstrations, end_of_turn
from worker.engine.training.imitation import imitate
from worker.engine.training.optimizer import make_optimizer

LONGEST = 100


def demonstrated(policy, prompts, *, target=Hint.SOLUTION):
    settings = tiny_settings(max_completion_tokens=LONGEST)
    return demonstrations(prompts, policy=policy, target=target, settings=settings, purpose="imitation").chosen


def shown(policy, *, count=6, target=Hint.SOLUTION):
    return demonstrated(policy, tiny_prompts(policy, count), target=target)


def adapter(policy):
    return {name: parameter.detach().clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}


def imitated(policy, *, settings, batch, step=1):
    """Take one plain gradient step of length 1, so that the change of the adapter is the clipped gradient."""
    optimizer = torch.optim.SGD(policy.adapter(LIVE_ADAPTER).values(), lr=1.0)
    return imitate(policy, optimizer, batch, step=step, purpose="imitation", learning_rate=1.0, settings=settings)


def test_a_demonstration_is_the_rows_text_and_the_end_of_the_templates_turn():
    policy = tiny_policy()
    prompts = tiny_prompts(policy, 3)
    found = shown(policy, count=3)
    assert [one.context for one in found] == [prompt.student for prompt in prompts]
    for prompt, one in zip(prompts, found, strict=True):
        assert policy.tokenizer.decode(one.target_ids) == f"{prompt.task.solution}<|end|>"


def test_rows_without_the_target_or_with_one_longer_than_a_completion_are_left_out():
    policy = tiny_policy()
    tasks = tiny_tasks(4)
    tasks[1] = replace(tasks[1], trajectory=None)
    tasks[2] = replace(tasks[2], trajectory="long " * 40)
    prompts = [tiny_prompt_builder(policy).prompt(task) for task in tasks]
    found = demonstrated(policy, prompts, target=Hint.TRAJECTORY)
    assert [one.context for one in found] == [prompts[0].student, prompts[3].student]


def test_what_the_template_begins_of_an_answer_is_not_imitated_again():
    policy = tiny_policy()
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace(
        "<|assistant|>{% endif %}", "<|assistant|><think>\n{% endif %}"
    )
    task = replace(tiny_tasks(1)[0], solution="<think>\nso it is\n</think>\n4")
    prompt = tiny_prompt_builder(policy).prompt(task)
    [one] = demonstrated(policy, [prompt])
    text = policy.tokenizer.decode([*one.context.ids, *one.target_ids])
    assert text.endswith("<|assistant|><think>\nso it is\n</think>\n4<|end|>")


def test_of_several_tokens_that_end_completions_the_templates_own_ends_a_turn():
    policy = tiny_policy()
    [other] = policy.tokenizer.encode("!", add_special_tokens=False)
    end = policy.tokenizer.eos_token_id
    assert end_of_turn(replace(policy, eos_ids=(other, end))) == end
    assert end_of_turn(replace(policy, eos_ids=(other,))) == other


@pytest.mark.parametrize("micro_batch_tokens", [60, 10_000])
def test_loss_and_gradients_match_trl(tmp_path, micro_batch_tokens):
    from datasets import Dataset  # here, since each process imports all test modules
    from trl import SFTConfig, SFTTrainer

    settings = tiny_settings(micro_batch_tokens=micro_batch_tokens, max_grad_norm=1000.0)
    policy = tiny_policy(settings, random_adapters=True)
    batch = shown(policy)
    assert len({len(one.target_ids) for one in batch}) > 1 or len({len(one.context.ids) for one in batch}) > 1
    rows = [
        {
            "prompt": [dict(message) for message in task.messages],
            "completion": [{"role": "assistant", "content": task.solution}],
        }
        for task in tiny_tasks(len(batch))
    ]
    trainer = SFTTrainer(
        model=policy.model,
        args=SFTConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=len(batch),
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to=[],
            max_length=None,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    policy.model.zero_grad()
    theirs = trainer.compute_loss(trainer.model, inputs, num_items_in_batch=(inputs["labels"] != -100).sum())
    theirs.backward()
    expected = {name: parameter.grad.clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}

    before = adapter(policy)
    ours = imitated(policy, settings=settings, batch=batch)
    assert ours.loss == pytest.approx(theirs.item(), abs=1e-6)
    assert ours.target_tokens == int((inputs["labels"] != -100).sum())
    for name, after in adapter(policy).items():
        torch.testing.assert_close(before[name] - after, expected[name], rtol=1e-4, atol=1e-6)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-2


def test_a_few_passes_teach_the_model_to_say_what_it_was_shown():
    settings = tiny_settings(lora_r=8)
    policy = tiny_policy(settings)
    batch, optimizer = shown(policy, count=2, target=Hint.ANSWER), make_optimizer(policy, settings=settings)
    losses = [
        imitate(policy, optimizer, batch, step=step, purpose="imitation", learning_rate=2e-2, settings=settings).loss
        for step in range(1, 61)
    ]
    assert losses[-1] < 0.3 * losses[0]


def test_a_loss_that_is_not_finite_changes_nothing():
    policy = tiny_policy(random_adapters=True)
    first = next(iter(policy.adapter(LIVE_ADAPTER).values()))
    with torch.no_grad():
        first.fill_(float("inf"))
    before = adapter(policy)
    with pytest.raises(Fault, match="step 3: the loss"):
        imitated(policy, settings=tiny_settings(), batch=shown(policy), step=3)
    assert all(torch.equal(after, before[name]) for name, after in adapter(policy).items())
