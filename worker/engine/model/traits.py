"""Architecture of a causal language model: its body, its head, and properties tested once per model.

The body maps tokens to states, the head maps each state to logits.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast

from backend.core.settings.choices import TeacherWeights
from worker.engine.model.packing import can_pack
from worker.engine.model.policy import Policy
from worker.engine.model.policy_cache import ModelTraits


@dataclass
class BodyOutput(BaseModelOutputWithPast):  # type: ignore[misc]  # transformers is not typed for mypy
    """A body's output with given states; all other fields that a head may read (routers, cross attention) are None."""

    def __getattr__(self, name: str) -> None:
        return None


def causal_model(policy: Policy) -> Any:
    """Return the transformers model, with its adapters."""
    return policy.model.get_base_model() if isinstance(policy.model, PeftModel) else policy.model


def model_traits(policy: Policy) -> ModelTraits:
    """Return the traits of the policy's model, tested at the first call, which must not be within a pass."""
    if policy.cache.traits is None:
        causal = causal_model(policy)
        # The result must not depend on the adapter, so that it is the same before and after a resume.
        with _in_eval_mode(causal), _without_adapters(policy):
            # A layer recomputed in the backward pass would use the default attention there.
            supports_packing = not causal.is_activation_checkpointing and can_pack(causal.base_model)
            policy.cache.traits = ModelTraits(plain_head=_has_plain_head(causal), supports_packing=supports_packing)
    return policy.cache.traits


def project(policy: Policy, states: Tensor) -> Tensor:
    """Compute logits `[..., V]` of states `[..., H]` with the model's head, including any capping or scaling."""
    causal = causal_model(policy)
    if model_traits(policy).plain_head:
        logits: Tensor = causal.get_output_embeddings()(states)
        return logits
    return _run_head(causal, states.reshape(1, -1, states.shape[-1])).view(*states.shape[:-1], -1)


def head_is_trained(policy: Policy) -> bool:
    """Check whether any parameter outside the body is trained."""
    causal = causal_model(policy)
    body = {id(parameter) for parameter in causal.base_model.parameters()}
    return any(parameter.requires_grad and id(parameter) not in body for parameter in causal.parameters())


def _run_head(causal: Any, states_BTH: Tensor) -> Tensor:
    """Run the model's forward pass with a body that returns the given states."""

    def return_states(*args: object, **kwargs: object) -> BodyOutput:
        return BodyOutput(last_hidden_state=states_BTH)

    body = causal.base_model
    previous = vars(body).get("forward")
    body.forward = return_states
    try:
        dummy_ids = torch.zeros(states_BTH.shape[:2], dtype=torch.long, device=states_BTH.device)
        logits: Tensor = causal(input_ids=dummy_ids, use_cache=False).logits
    finally:
        if previous is None:
            del body.forward
        else:
            body.forward = previous
    return logits


def _has_plain_head(causal: Any) -> bool:
    ids = torch.tensor([[1, 2, 3]], device=causal.device)
    with torch.no_grad():
        states = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return torch.equal(causal.get_output_embeddings()(states), _run_head(causal, states))


def _without_adapters(policy: Policy) -> AbstractContextManager[None]:
    """Disable the adapters; an external teacher has none."""
    return policy.weights(TeacherWeights.BASE) if isinstance(policy.model, PeftModel) else nullcontext()


@contextmanager
def _in_eval_mode(causal: Any) -> Iterator[None]:
    was_training = causal.training
    causal.eval()
    try:
        yield
    finally:
        causal.train(was_training)
