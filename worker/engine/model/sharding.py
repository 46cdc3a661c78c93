"""Owns a policy whose base weights are shared out among the processes of a run (FSDP2, `torch.distributed.fsdp`).

Each process keeps a slice of every decoder layer and gathers a layer just before it is used. Adapters, embeddings and
the output head stay whole, so checkpoints, optimizer and export are those of one process. A forward pass needs every
process: one that has no work of its own left takes part with a padding token, see `Lockstep`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from worker.engine.distributed import ProcessGroup, meet
from worker.engine.model.policy import Policy
from worker.engine.model.traits import anatomy


class Pass(IntEnum):
    """What a process is about to do with the model."""

    NONE = 0
    """It waits for the others."""
    FORWARD = 1
    """A forward pass without gradient."""
    BACKWARD = 2
    """A forward pass and the backward pass that follows."""


@dataclass(slots=True)
class Lockstep:
    """Makes all processes run the model equally often.

    Before each pass the processes say what they are about to do, and all do the same: forward passes come first, and
    who has other plans, or none, runs one padding token. A padding token's gradient is zero.
    """

    policy: Policy
    device: torch.device
    attention: str
    """The model's usual attention; a pass may be on its way with another one."""
    padding: bool = field(default=False, init=False)

    def attach(self) -> None:
        """Ask the others before every pass of the decoder, whoever calls it, and before it gathers anything."""
        _decoder(self.policy).register_forward_pre_hook(self._before_forward, prepend=True)

    def catch_up(self) -> None:
        """Run padding passes until no process has passes of its own to run."""
        while (agreed := _agree(Pass.NONE)) is not Pass.NONE:
            self._pad(agreed)

    def _before_forward(self, *_: object) -> None:
        if self.padding:
            return
        wanted = Pass.BACKWARD if torch.is_grad_enabled() else Pass.FORWARD
        while (agreed := _agree(wanted)) is not wanted:
            self._pad(agreed)

    def _pad(self, agreed: Pass) -> None:
        with self._as_padding(), torch.set_grad_enabled(agreed is Pass.BACKWARD):
            ids_11 = torch.full((1, 1), self.policy.pad_id, device=self.device)
            logits_11V = self.policy.model(input_ids=ids_11, use_cache=False).logits
            if agreed is Pass.BACKWARD:
                torch.autograd.backward(logits_11V, torch.zeros_like(logits_11V))

    @contextmanager
    def _as_padding(self) -> Iterator[None]:
        config = _decoder(self.policy).config
        present = config._attn_implementation
        self.padding, config._attn_implementation = True, self.attention
        try:
            yield
        finally:
            self.padding, config._attn_implementation = False, present


def _agree(wanted: Pass) -> Pass:
    """What all processes do next: a forward pass where any wants one, for that is possible everywhere."""
    wanting = torch.zeros(len(Pass), dtype=torch.int32)
    wanting[wanted] = 1
    meet(lambda: dist.all_reduce(wanting))
    return next((kind for kind in (Pass.FORWARD, Pass.BACKWARD) if wanting[kind]), Pass.NONE)


def shard(policy: Policy, *, device: torch.device, world: ProcessGroup) -> tuple[Policy, ProcessGroup]:
    """Share the base weights out; the policy on its device, and the world whose meetings wait for every pass.

    The policy comes whole, on the CPU, and equal in every process. ValueError for a model without decoder layers, or
    whose head is more than a projection: its logits are asked of the whole model (`anatomy.py`), which the others would
    take for a pass and wait in.
    """
    decoder = _decoder(policy)
    if not anatomy(policy).plain_head:
        raise ValueError(
            f"sharding 'sharded' is not known for {type(policy.model.get_base_model()).__name__}, which caps or scales "
            "its logits: use 'replicated'"
        )
    layers = list(decoder.layers)
    sharded = {id(weight) for layer in layers for name, weight in layer.named_parameters() if ".lora_" not in name}
    whole = {weight for weight in policy.model.parameters() if id(weight) not in sharded}
    mesh = init_device_mesh(device.type, (world.size,))
    for module in (*layers, decoder):
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    policy.model.to(device)
    policy = replace(policy, device=device, sharded=True)
    lockstep = Lockstep(policy, device, decoder.config._attn_implementation)
    # The first gathered weights stay what they are: made in inference mode, they could never meet a backward pass.
    lockstep._pad(Pass.FORWARD)
    lockstep.attach()
    return policy, replace(world, catch_up=lockstep.catch_up)


def _decoder(policy: Policy) -> Any:
    base = policy.model.get_base_model()
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    if not len(getattr(decoder, "layers", ())):
        raise ValueError(
            f"sharding 'sharded' is not known for {type(base).__name__}, whose decoder layers were not found: use "
            "'replicated'"
        )
    return decoder
