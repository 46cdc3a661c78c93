"""Settings of checks before training, and of the machine."""

from typing import Annotated, Literal

from pydantic import Field

from backend.core.settings.about import About, Strict, When
from backend.core.settings.choices import Dtype, Sharding, listed


class Checking(Strict):
    """Checks before training."""

    self_check_rows: Annotated[
        int,
        About(
            "Rows for the verifier self-check",
            zero="none",
            unit="rows",
            why="A check of a few seconds can save hours of training on a wrong rule.",
            may_change=True,
        ),
    ] = Field(
        8, ge=0, le=64, description="Training rows on which the verifier is checked before the first step; 0: none."
    )
    preflight_rows: Annotated[
        int,
        About(
            "Rows for the pre-flight",
            zero="none",
            unit="rows",
            why="Off, since it takes as long as a few steps; the plan Careful turns it on.",
            may_change=True,
        ),
    ] = Field(0, ge=0, le=256, description="Training rows that the base model answers before the first step; 0: none.")
    preflight_samples: Annotated[
        int,
        About(
            "Completions per pre-flight row",
            unit="completions",
            why="As many completions as in training.",
            when=When("preflight_rows", 0, differs=True),
            may_change=True,
        ),
    ] = Field(8, ge=1, le=64, description="Completions per row in the pre-flight, both with and without the hint.")
    on_failed_check: Annotated[
        Literal["pause", "go_on"],
        About(
            "If a check fails",
            why="Pausing for your decision is better than training with a broken verifier or dataset.",
            may_change=True,
        ),
    ] = Field("pause", description="What the job does if a check before training fails: pause until resumed, or go on.")


class Machine(Strict):
    """Devices and memory."""

    dtype: Annotated[
        Dtype, About("Number format", why="Exact on every machine; bfloat16 halves the memory on a GPU.")
    ] = Field("float32", description="Number format of the base model.")
    device: Annotated[
        Literal["auto", "cpu", "cuda"], About("Training device", why="A GPU if there is one.", may_change=True)
    ] = Field("auto", description="Device to train on.")
    devices: Annotated[
        int,
        About(
            "Number of devices",
            unit="devices",
            why="One is simplest; several devices split the questions of a step.",
            may_change=True,
        ),
    ] = Field(1, ge=1, le=64, description="Processes of the job, one GPU each.")
    sharding: Annotated[
        Sharding,
        listed(*Sharding),
        About(
            "Base model per device",
            why="Copies are faster; shards fit larger models.",
            when=When("devices", 1, differs=True),
            may_change=True,
        ),
    ] = Field(
        Sharding.REPLICATED,
        title="Sharding",
        description="Whether each process holds the whole base model or a shard of it (FSDP).",
    )
    generator: Annotated[
        Literal["transformers", "vllm"],
        About("Sampler", why="Works everywhere; vLLM is faster if it is installed.", may_change=True),
    ] = Field("transformers", description="Library that samples the completions.")
    micro_batch_tokens: Annotated[
        int,
        About(
            "Tokens per micro-batch",
            unit="tokens",
            why="Fits small GPUs; lower it if memory runs out.",
            may_change=True,
        ),
    ] = Field(4_096, ge=1, le=100_000_000, description="Tokens in one pass; lower it if memory runs out.")
    rollout_sequences: Annotated[
        int,
        About(
            "Completions sampled at a time",
            unit="completions",
            why="More at a time are faster; lower it if memory runs out.",
            may_change=True,
        ),
    ] = Field(512, ge=1, le=1_000_000, description="Completions sampled at a time; lower it if memory runs out.")
    gradient_checkpointing: Annotated[
        bool,
        About(
            "Recompute activations (less memory)", why="Off is faster; turn it on if memory runs out.", may_change=True
        ),
    ] = Field(False, description="Recompute activations instead of keeping them: less memory, more time.")
