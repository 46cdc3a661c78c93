"""From a job's rows, settings and verifier to what the engine takes. Shared by queued jobs and `rlsd train`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from backend.datasets.rows.rows import NormalRow
from backend.errors import AppError
from backend.jobs.held_out import choose, split_held_out
from backend.jobs.hints import grader_hint
from backend.jobs.spec import RlsdSettings
from backend.settings import settings as environment
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample
from worker.engine.distributed import ProcessGroup
from worker.engine.faults import Fault
from worker.engine.model.assets import ModelAssets, load_kit, require_chat_template
from worker.engine.model.policy import Policy, load_external_teacher, load_policy, load_untrained
from worker.engine.model.sharding import shard
from worker.engine.settings import Settings
from worker.engine.types import Completion, Reward, Score, Sharding, Task
from worker.faults import classified
from worker.sandbox.pool import Sandbox
from worker.training.manifest import model_identity

OURS = {
    *("preset", "lora", "eval_rows", "held_out_share", "devices"),
    *("self_check_rows", "preflight_rows", "preflight_samples", "on_failed_check"),
}
"""Settings of the service that the engine does not know, or knows in another form."""


def use_threads(*, processes: int) -> None:
    """A fixed number of threads: sums, and so resumed runs, come out the same to the last bit.

    Processes that share a job share the threads too.
    """
    torch.set_num_threads(max(1, environment().torch_threads // processes))


def engine_settings(spec: RlsdSettings, *, seed: int) -> Settings:
    """The engine's view of a job's settings: the same names, LoRA's flattened."""
    values = spec.model_dump(exclude=OURS)
    values |= {f"lora_{name}": value for name, value in spec.lora.model_dump().items()}
    values["teacher_model"] = None if spec.teacher_model is None else model_source(spec.teacher_model)
    return Settings(**values, seed=seed)


def model_source(name: str) -> str:
    """The folder or hub id behind a model's name on this machine."""
    return environment().models.get(name, name)


def load(name: str, *, settings: Settings) -> Policy:
    """The model behind the name with fresh adapters. Raises AppError naming the model when it cannot be used."""
    with _named(name) as source:
        return load_policy(source, settings=settings, allow_remote_code=environment().allow_remote_code)


def load_to_serve(name: str, *, dtype: str) -> Policy:
    """The model behind the name, to answer with; `dtype` "auto" is bfloat16 on a GPU. Raises AppError as `load`."""
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    with _named(name) as source:
        remote = environment().allow_remote_code
        return load_untrained(source, dtype=dtype, device="auto", allow_remote_code=remote)


def load_words(name: str) -> ModelAssets:
    """What comes with the model beside its weights: enough to make prompts. Raises AppError as `load` does."""
    with _named(name) as source:
        kit = load_kit(source, allow_remote_code=environment().allow_remote_code)
        require_chat_template(kit.tokenizer)
        return kit


@contextmanager
def _named(name: str) -> Iterator[str]:
    """The source of a model; a fault inside the block is an AppError that names the model as people know it."""
    source = model_source(name)
    try:
        yield source
    except Fault as fault:
        said = classified(fault)
        reason = fault.message.replace(source, name).rstrip(".")  # people know the name, not the server's folder
        raise AppError(
            f"The model '{name}' could not be loaded: {reason}.", code=said["code"], param=said["param"]
        ) from fault


def load_teacher(spec: RlsdSettings, *, settings: Settings, student: Policy) -> Policy | None:
    """The larger model that a method imitates; None where there is none. Raises AppError as `load` does."""
    if spec.teacher_model is None:
        return None
    try:
        return load_external_teacher(settings, student=student)
    except Fault as fault:
        said = classified(fault)
        message = said["message"].replace(str(settings.teacher_model), spec.teacher_model)
        raise AppError(message, code=said["code"], param=said["param"]) from fault


def load_shared(name: str, *, settings: Settings, world: ProcessGroup) -> tuple[Policy, ProcessGroup]:
    """The same for a process of `world`: whole, or its slice where the settings ask for that.

    Also the world to run it in: a sliced model needs all processes at each pass. Raises AppError as `load` does.
    """
    if world.size == 1 or settings.sharding != Sharding.SHARDED:
        return load(name, settings=settings), world
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    return shard(load(name, settings=replace(settings, device="cpu")), device=device, world=world)


def identity(name: str, policy: Policy) -> dict[str, Any]:
    """How to find again what was loaded under this name."""
    return model_identity(name, source=model_source(name), policy=policy)


def tasks_of(
    rows: Sequence[NormalRow],
    *,
    spec: RlsdSettings,
    verifier: Spec | None,
    seed: int,
    validation: Sequence[NormalRow] | None,
) -> tuple[list[Task], list[Task]]:
    """(tasks to train on, tasks held out)."""
    if validation is None:
        train, held_out = split_held_out(rows, share=spec.held_out_share, seed=seed, limit=spec.eval_rows)
    else:
        train, held_out = list(rows), choose(validation, seed=seed, limit=spec.eval_rows)
    return [_task(row, verifier) for row in train], [_task(row, verifier) for row in held_out]


def sandboxed_reward(sandbox: Sandbox, verifier: Spec) -> Reward:
    def reward(completions: Sequence[Completion]) -> Sequence[Score]:
        return sandbox.grade(
            verifier,
            [
                Sample(output_text=c.text, item=c.task.item, answer=c.task.answer, messages=c.task.messages)
                for c in completions
            ],
        )

    return reward


def _task(row: NormalRow, verifier: Spec | None) -> Task:
    return Task(
        row=row.number,
        messages=tuple(row.messages),
        answer=row.reference.answer,
        solution=row.reference.solution,
        trajectory=row.reference.trajectory,
        privileged=row.privileged,
        item=row.item_without_images,
        looked_up=None if verifier is None else grader_hint(verifier, row),
        images=row.pictures,
    )
