"""Owns what is known of a model's build: its body, its head, and what was found by trying them out once.

A causal language model is a body, which turns tokens into states, and a head, which turns each state into logits.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast

from worker.engine.model.packing import can_pack
from worker.engine.model.policy import Policy
from worker.engine.types import TeacherWeights


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What a model allows."""

    plain_head: bool
    """Logits are the output embedding of the state and nothing else: no capping, no scaling."""
    packs: bool
    """Contexts can be shared by their completions (`packing.py`)."""


@dataclass
class BodyOutput(BaseModelOutputWithPast):  # type: ignore[misc]  # transformers is not typed for mypy
    """States in place of a body's output; whatever else a head looks for (routers, cross attention) is None."""

    def __getattr__(self, name: str) -> None:
        return None


_KNOWN: WeakKeyDictionary[Any, ModelTraits] = WeakKeyDictionary()


def causal_model(policy: Policy) -> Any:
    """The transformers model, its adapters in place."""
    return policy.model.get_base_model() if isinstance(policy.model, PeftModel) else policy.model


def anatomy(policy: Policy) -> ModelTraits:
    """What the policy's model allows, found out at the first call, and kept. The first is not to be amid a pass."""
    causal = causal_model(policy)
    if causal not in _KNOWN:
        # The answer is to be the same before a resume and after, whatever the adapter has become.
        with _in_evaluation(causal), _without_adapters(policy):
            # A layer that is recomputed in the backward pass would meet another attention there.
            packs = not causal.is_activation_checkpointing and can_pack(causal.base_model)
            _KNOWN[causal] = ModelTraits(plain_head=_has_plain_head(causal), packs=packs)
    return _KNOWN[causal]


def project(policy: Policy, states: Tensor) -> Tensor:
    """Logits `[..., V]` of states `[..., H]`, by the model's own head with all that the architecture adds to it."""
    causal = causal_model(policy)
    if anatomy(policy).plain_head:
        logits: Tensor = causal.get_output_embeddings()(states)
        return logits
    return _through_own_head(causal, states.reshape(1, -1, states.shape[-1])).view(*states.shape[:-1], -1)


def head_learns(policy: Policy) -> bool:
    """Whether anything behind the states is trained."""
    causal = causal_model(policy)
    inside = {id(parameter) for parameter in causal.base_model.parameters()}
    return any(parameter.requires_grad and id(parameter) not in inside for parameter in causal.parameters())


def _through_own_head(causal: Any, states_BTH: Tensor) -> Tensor:
    """The model's own way from states to logits: its forward pass, the body answering with these states."""

    def answer(*args: object, **kwargs: object) -> BodyOutput:
        return BodyOutput(last_hidden_state=states_BTH)

    body = causal.base_model
    usual = vars(body).get("forward")
    body.forward = answer
    try:
        unread_ids = torch.zeros(states_BTH.shape[:2], dtype=torch.long, device=states_BTH.device)
        logits: Tensor = causal(input_ids=unread_ids, use_cache=False).logits
    finally:
        if usual is None:
            del body.forward
        else:
            body.forward = usual
    return logits


def _has_plain_head(causal: Any) -> bool:
    ids = torch.tensor([[1, 2, 3]], device=causal.device)
    with torch.no_grad():
        states = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return torch.equal(causal.get_output_embeddings()(states), _through_own_head(causal, states))


def _without_adapters(policy: Policy) -> AbstractContextManager[None]:
    """The base model alone; a teacher from outside has no adapters."""
    return policy.weights(TeacherWeights.BASE) if isinstance(policy.model, PeftModel) else nullcontext()


@contextmanager
def _in_evaluation(causal: Any) -> Iterator[None]:
    was_training = causal.training
    causal.eval()
    try:
        yield
    finally:
        causal.train(was_training)
