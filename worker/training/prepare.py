"""Builds the engine's inputs from a job's rows, settings and verifier. Shared by queued jobs and `rlsd train`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from backend.base_models import base_models
from backend.core.settings.choices import Sharding
from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import NormalRow
from backend.errors import AppError
from backend.jobs.examples import without_examples
from backend.jobs.held_out import choose_rows, split_held_out
from backend.jobs.hints import grader_hint
from backend.settings import settings as environment
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample
from worker.engine.distributed import ProcessGroup
from worker.engine.faults import Fault, FaultCode
from worker.engine.model.assets import ModelAssets, load_assets, require_chat_template
from worker.engine.model.policy import Policy
from worker.engine.model.policy_loading import load_external_teacher, load_policy, load_untrained
from worker.engine.model.sharding import shard
from worker.engine.rollouts.chat_template import ChatTemplateError, Message, asked
from worker.engine.settings import Settings
from worker.engine.types import Completion, Reward, Score, Task
from worker.faults import classify
from worker.sandbox.pool import Sandbox
from worker.training.manifest import model_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob:
    """A job with its rows read and its settings resolved."""

    model: str
    seed: int
    spec: RlsdSettings
    grader: Spec
    tasks: list[Task]
    held_out: list[Task]


def use_threads(*, processes: int) -> None:
    """Fix the number of torch threads, so that sums, and hence resumed runs, are equal to the last bit.

    The processes of one job share the threads.
    """
    torch.set_num_threads(max(1, environment().torch_threads // processes))


def engine_settings(spec: RlsdSettings, *, seed: int) -> Settings:
    """Return a job's settings as those of a run on this machine."""
    source = None if spec.teacher_model is None else model_source(spec.teacher_model)
    return Settings(**spec.model_dump(), seed=seed).model_copy(update={"teacher_model": source})


def model_source(name: str) -> str:
    """Return the folder or hub id that a model name stands for on this machine."""
    return base_models().get(name, name)


def load(name: str, *, settings: Settings) -> Policy:
    """Load a model by name, with new adapters. Raises AppError naming the model if it cannot be used."""
    with _naming_model(name) as source:
        policy = load_policy(source, settings=settings, allow_remote_code=environment().allow_remote_code)
    policy.tokenizer.name_or_path = name
    return policy


def load_for_serving(name: str, *, dtype: str) -> Policy:
    """Load a model for inference; `dtype` "auto" is bfloat16 on a GPU, else float32. Raises AppError as `load` does."""
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    with _naming_model(name) as source:
        remote = environment().allow_remote_code
        policy = load_untrained(source, dtype=dtype, device="auto", allow_remote_code=remote)
    policy.tokenizer.name_or_path = name
    return policy


def load_model_assets(name: str) -> ModelAssets:
    """Load everything of a model but its weights, enough to build prompts. Raises AppError as `load` does."""
    with _naming_model(name) as source:
        assets = load_assets(source, allow_remote_code=environment().allow_remote_code)
        require_chat_template(assets.tokenizer)
    assets.tokenizer.name_or_path = name
    return assets


@contextmanager
def _naming_model(name: str) -> Iterator[str]:
    """Yield the model's source; a Fault in the block is raised as an AppError with the model's public name."""
    source = model_source(name)
    try:
        yield source
    except Fault as fault:
        if fault.code is FaultCode.NO_SUCH_LAYER:  # the settings do not fit the model, which is in order
            raise
        api_error = classify(fault)
        reason = fault.message.replace(source, name).rstrip(".")  # users know the name, not the server's folder
        raise AppError(
            f"The model '{name}' could not be loaded: {reason}.", code=api_error["code"], param=api_error["param"]
        ) from fault


def load_teacher(spec: RlsdSettings, *, settings: Settings, student: Policy) -> Policy | None:
    """Load the external teacher model; None if the job has none. Raises AppError as `load` does."""
    if spec.teacher_model is None:
        return None
    try:
        return load_external_teacher(settings, student=student)
    except Fault as fault:
        api_error = classify(fault)
        message = api_error["message"].replace(str(settings.teacher_model), spec.teacher_model)
        raise AppError(message, code=api_error["code"], param=api_error["param"]) from fault


def load_shared(name: str, *, settings: Settings, world: ProcessGroup) -> tuple[Policy, ProcessGroup]:
    """Load the model in a process of `world`: whole, or this process's shard if `sharding` is set.

    Also returns the process group to run it in: a sharded model needs all processes in each pass. Raises AppError as
    `load` does.
    """
    if world.size == 1 or settings.sharding != Sharding.SHARDED:
        return load(name, settings=settings), world
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    return shard(load(name, settings=settings.model_copy(update={"device": "cpu"})), device=device, world=world)


def identity(name: str, policy: Policy) -> dict[str, Any]:
    """Identify the loaded model for the manifest."""
    return model_identity(name, source=model_source(name), policy=policy)


def tasks_of(
    rows: Sequence[NormalRow],
    *,
    spec: RlsdSettings,
    verifier: Spec | None,
    seed: int,
    validation: Sequence[NormalRow] | None,
) -> tuple[list[Task], list[Task]]:
    """Return (training tasks, held-out tasks), neither with rows that the instruction shows as examples.

    Fault naming the row whose system message cannot be folded.
    """
    usable = without_examples(rows, spec.example_rows)
    if validation is None:
        train, held_out = split_held_out(usable, share=spec.held_out_share, seed=seed, limit=spec.eval_rows)
    else:
        train, held_out = usable, choose_rows(validation, training=rows, seed=seed, limit=spec.eval_rows)
    return [_task(row, verifier, spec=spec) for row in train], [_task(row, verifier, spec=spec) for row in held_out]


def sandboxed_reward(sandbox: Sandbox, verifier: Spec) -> Reward:
    def reward(completions: Sequence[Completion]) -> Sequence[Score]:
        return sandbox.grade(
            verifier,
            [
                Sample(output_text=c.text, item=c.task.item, answer=c.task.right, messages=c.task.messages)
                for c in completions
            ],
        )

    return reward


def _task(row: NormalRow, verifier: Spec | None, *, spec: RlsdSettings) -> Task:
    return Task(
        row=row.number,
        messages=tuple(row.messages),
        answer=row.reference.answer,
        accepted=row.reference.accepted,
        solution=row.reference.solution,
        trajectory=row.reference.trajectory,
        privileged=row.privileged,
        item=row.item_without_images,
        looked_up=None if verifier is None else grader_hint(verifier, row),
        tools=row.tools,
        images=row.image_bytes,
        prompt_messages=tuple(_prompt_messages(row, spec=spec)),
    )


def _prompt_messages(row: NormalRow, *, spec: RlsdSettings) -> Sequence[Message]:
    try:
        return asked(row.messages, instruction=spec.instruction, fold=spec.fold_system)
    except ChatTemplateError as error:
        raise Fault(FaultCode.CHAT_TEMPLATE_REFUSES, f"row {row.number}: {error}", param=error.param) from error
