"""What the model runner does with messages that the model's chat template refuses."""

import pytest
from torch import float32

from backend.chat.protocol import ChatRequest
from backend.errors import AppError
from tests.worker.engine.rollouts.chat_templates import GEMMA
from tests.worker.engine.tiny import tiny_model, tiny_tokenizer
from worker.engine.model.adapter_files import Adapter
from worker.engine.model.policy import Policy
from worker.serving.model_runner import ModelRunner, RunnerLimits


def runner() -> ModelRunner:
    model, tokenizer = tiny_model().to(float32).eval().requires_grad_(False), tiny_tokenizer(chat_template=GEMMA)
    tokenizer.name_or_path = "gemma"
    policy = Policy(model=model, tokenizer=tokenizer, device=model.device, pad_id=1, eos_ids=(0,))
    limits = RunnerLimits(sequences=2, tokens=400, default_tokens=4, adapters=1)

    def fetch(_: object) -> Adapter:
        raise AssertionError("no request has an adapter")

    return ModelRunner(policy, limits=limits, fetch=fetch)


def request(*roles: str, fold_system: bool) -> ChatRequest:
    return ChatRequest(
        id="chatcmpl-1",
        project="proj-default",
        model="gemma",
        base="gemma",
        adapter=None,
        messages=[{"role": role, "content": [{"type": "text", "text": "x"}]} for role in roles],
        max_tokens=2,
        temperature=0.0,
        top_p=1.0,
        n=1,
        stop=[],
        seed=0,
        top_logprobs=None,
        skip_special_tokens=False,
        fold_system=fold_system,
    )


@pytest.mark.parametrize(
    ("roles", "fold_system", "words"),
    [
        (("system", "user"), False, "The chat template of 'gemma' refuses the messages: \"System role not supported\""),
        (("user", "user"), False, "roles must alternate"),
        (
            ("user", "assistant", "system"),
            True,
            "The setting fold_system needs a user message after each system message",
        ),
    ],
)
def test_messages_that_the_template_refuses_are_a_sentence_naming_them(
    roles: tuple[str, ...], fold_system: bool, words: str
) -> None:
    with pytest.raises(AppError, match=words) as refusal:
        runner().add_request(request(*roles, fold_system=fold_system))
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, "invalid_messages", "messages")


def test_a_system_message_is_folded_where_the_request_says_so() -> None:
    served = runner()
    served.add_request(request("system", "user", fold_system=True))
    assert served.requests == ["chatcmpl-1"]
