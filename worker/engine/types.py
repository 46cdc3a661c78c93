"""The glossary of the engine: what its words mean, and the shapes its tensors carry.

Shape suffixes, used in every module of this folder:

| suffix | axis |
|---|---|
| `B` | sequences of a step, `P * G`, prompt-major: the `G` samples of one prompt stand together |
| `P` | prompts of a step |
| `G` | samples a prompt (`num_generations`) |
| `T` | completion tokens, padded to the longest completion of the step |
| `L` | prompt tokens |
| `V` | vocabulary |

Log-probabilities are natural logarithms at the sampling temperature. A mask is True at the tokens that the student
really wrote: up to and including its first end-of-sequence token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class TeacherWeights(StrEnum):
    """Which weights the teacher scores with (RLSD.md section 2)."""

    BASE = "base"
    """The base model, adapter disabled."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps` optimizer steps."""
    LIVE = "live"
    """The adapter that is being trained, in evaluation mode."""


class Hint(StrEnum):
    """What the teacher knows and the student does not."""

    ANSWER = "answer"
    """The final reference answer."""
    SOLUTION = "solution"
    """The worked solution."""


class Loss(StrEnum):
    """How token objectives become one number."""

    TOKEN_MEAN = "token_mean"  # noqa: S105 - the name of an average, not a secret
    """Mean over all completion tokens of the step."""
    SEQUENCE_MEAN = "sequence_mean"
    """Mean over sequences of the mean over each sequence's tokens."""


class Wish(StrEnum):
    """What the outside wants of a run, asked between steps."""

    CONTINUE = "continue"
    """Go on."""
    PAUSE = "pause"
    """Stop with a checkpoint; the run will be resumed."""
    CANCEL = "cancel"
    """Stop with a checkpoint; the run will not be resumed."""


class Ending(StrEnum):
    """How a run came to its end."""

    DONE = "done"
    """All steps were taken and the final evaluation is recorded."""
    PAUSED = "paused"
    """Stopped by `Wish.PAUSE`."""
    CANCELLED = "cancelled"
    """Stopped by `Wish.CANCEL`."""
    VERIFIER_FAULTS = "verifier_faults"
    """Too many completions of one step could not be scored (`max_error_share`)."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the dataset: a question and what is known about its answer."""

    row: int
    """Number of the row in its file."""
    messages: tuple[Mapping[str, object], ...]
    """The question, in the field's chat form."""
    answer: str | None
    """The final reference answer, where the row has one."""
    solution: str | None
    """A worked solution, where the row has one."""
    item: Mapping[str, object]
    """The original row, for the verifier."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the reward sees of a rollout: the task and the student's text, never the hint."""

    task: Task
    text: str


class Score(Protocol):
    """A verifier's verdict on one completion."""

    @property
    def score(self) -> float | None:
        """The reward, or None unless `status` is "ok"."""

    @property
    def status(self) -> str:
        """ "ok", "abstain", "error" or "timeout"."""

    @property
    def reason(self) -> str | None:
        """Why there is no score."""


Reward = Callable[[Sequence[Completion]], Sequence[Score]]
"""Scores completions: one score for each, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every number a run depends on. It has no defaults: the job's specification owns them.

    A value that makes no sense is a ValueError naming the field.
    """

    method: str
    """Name of a registered method: how token advantages are made."""
    lam: float
    """`lambda`: how much of the token weight is mixed in, 0 to 1."""
    lambda_decay_steps: int
    """`lambda` falls linearly to 0 over this many steps; 0 keeps it constant."""
    eps_w: tuple[float, float]
    """Token weights are clipped to `[1 - eps_w[0], 1 + eps_w[1]]`."""
    normalise: bool
    """Divide the weights of a sequence by their mean."""
    first_error: bool
    """Weight 1 after the first token that the teacher firmly rejects."""
    teacher: str
    """A `TeacherWeights`."""
    teacher_sync_steps: int
    """Optimizer steps between renewals of the snapshot."""
    hint: str
    """A `Hint`."""
    num_generations: int
    """`G`, samples a prompt."""
    batch_size: int
    """`P`, prompts a step."""
    max_prompt_tokens: int
    """Longest prompt allowed, with the hint where the teacher sees one."""
    max_completion_tokens: int
    """Longest completion sampled; longer ones are truncated."""
    temperature: float
    """Sampling temperature; all log-probabilities are taken at it."""
    learning_rate: float
    weight_decay: float
    max_grad_norm: float
    """Gradients are scaled down to this norm."""
    eps_low: float
    """Lower clip of the policy ratio."""
    eps_high: float
    """Upper clip of the policy ratio."""
    dual_clip: float
    """`c`: bound of the objective where the advantage is negative."""
    loss: str
    """A `Loss`."""
    micro_batch_tokens: int
    """Upper bound of padded tokens in one forward pass; a longer sequence goes alone."""
    max_steps: int
    """Optimizer steps of the run."""
    lora_r: int
    lora_alpha: float
    lora_dropout: float
    lora_target_modules: str | tuple[str, ...]
    """"all-linear", or the names of the modules."""
    eval_samples: int
    """`k` of avg@k."""
    eval_interval: int
    """Steps between interim evaluations; 0 for none."""
    checkpoint_interval: int
    """Steps between checkpoints; 0 for only the first and the last."""
    token_share: float
    """Share of rollouts whose per-token numbers are reported, 0 to 1."""
    seed: int
    dtype: str
    """"float32" or "bfloat16": the base model's numbers; the adapter is always float32."""
    device: str
    """"auto", "cpu" or "cuda"."""
    max_error_share: float
    """Share of a step's completions in error or timeout above which the run stops."""

    def __post_init__(self) -> None:
        at_least = {
            "num_generations": 2,
            "batch_size": 1,
            "teacher_sync_steps": 1,
            "max_prompt_tokens": 1,
            "max_completion_tokens": 1,
            "micro_batch_tokens": 1,
            "max_steps": 1,
            "lora_r": 1,
            "eval_samples": 1,
            "lambda_decay_steps": 0,
            "eval_interval": 0,
            "checkpoint_interval": 0,
            "weight_decay": 0,
            "eps_low": 0,
            "eps_high": 0,
            "dual_clip": 1,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("temperature", "learning_rate", "max_grad_norm", "lora_alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("lam", "token_share", "max_error_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must lie in [0, 1), got {self.lora_dropout}")
        if not 0 <= self.eps_w[0] <= 1 or self.eps_w[1] < 0:
            raise ValueError(
                f"eps_w must be a pair with the first in [0, 1] and the second at least 0, got {self.eps_w}"
            )
        choices = {
            "teacher": tuple(TeacherWeights),
            "hint": tuple(Hint),
            "loss": tuple(Loss),
            "dtype": ("float32", "bfloat16"),
            "device": ("auto", "cpu", "cuda"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
