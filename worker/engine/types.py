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
from typing import Protocol, TypedDict


class TeacherWeights(StrEnum):
    """Which weights the teacher scores with (RLSD.md section 2)."""

    BASE = "base"
    """The base model, adapter disabled."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps` optimizer steps."""
    LIVE = "live"
    """The adapter that is being trained, in evaluation mode."""


class Hint(StrEnum):
    """What a teacher knows and the student does not, `r` (RLSD.md section 2). Chosen apart from the method."""

    ANSWER = "answer"
    """The row's final reference answer."""
    SOLUTION = "solution"
    """The row's worked solution."""
    TRAJECTORY = "trajectory"
    """The row's recorded way to the answer, such as a stronger model's."""
    PRIVILEGED = "privileged"
    """What the row itself says the teacher is to be told (`teacher_prompt`, `privileged_context`)."""
    GRADER = "grader"
    """What the verifier looks up in the row."""
    SIBLING = "sibling"
    """A successful completion of the same group, never the sequence's own."""
    WRONG_SIBLING = "wrong_sibling"
    """A failed completion of the same group, never the sequence's own."""
    PLACEBO = "placebo"
    """Another row's hint of the kind `placebo_of`: what a hint does by merely being there."""
    EMPTY = "empty"
    """The block with nothing in it: what the template does."""


class Divergence(StrEnum):
    """What a distilling method compares at each token: the sampled token, or the distributions over the vocabulary."""

    SAMPLED = "sampled"
    """The sampled token's log-ratio, as an advantage."""
    FORWARD_KL = "forward_kl"
    """`KL(P_T || P_S)`."""
    REVERSE_KL = "reverse_kl"
    """`KL(P_S || P_T)`."""
    JSD = "jsd"
    """The generalised Jensen-Shannon divergence with weight `divergence_beta`."""


class Sharding(StrEnum):
    """How several processes share one model."""

    REPLICATED = "replicated"
    """Each process holds the whole model (DDP)."""
    SHARDED = "sharded"
    """Each process holds a slice of the base's weights (FSDP)."""


class Loss(StrEnum):
    """How token objectives become one number."""

    TOKEN_MEAN = "token_mean"  # noqa: S105 - the name of an average, not a secret
    """Mean over all completion tokens of the step."""
    SEQUENCE_MEAN = "sequence_mean"
    """Mean over sequences of the mean over each sequence's tokens."""
    CONSTANT = "constant"
    """Sum over all tokens, divided by sequences times `max_completion_tokens` (Dr. GRPO, arXiv 2503.20783)."""


class Budget(StrEnum):
    """What the budget of a run is counted in."""

    STEPS = "steps"
    """Optimizer steps."""
    TOKENS = "tokens"
    """Tokens written, read by the teacher and trained on."""
    SECONDS = "seconds"
    """Seconds of the steps, times the devices that took them."""


class ControlSignal(StrEnum):
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
    """All steps were taken, or the budget is used up, and the final evaluation is recorded."""
    PAUSED = "paused"
    """Stopped by `ControlSignal.PAUSE`."""
    CANCELLED = "cancelled"
    """Stopped by `ControlSignal.CANCEL`."""
    VERIFIER_FAULTS = "verifier_faults"
    """Too many completions of one step could not be scored (`max_error_share`)."""
    NO_SIGNAL = "no_signal"
    """The scores held nothing to learn from in `max_dead_steps` steps running."""


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
    trajectory: str | None
    """A recorded way to the answer, where the row has one."""
    privileged: str | None
    """What the row wants the teacher to be told, where it says so."""
    item: Mapping[str, object]
    """The original row, for the verifier."""
    looked_up: str | None = None
    """What the verifier looks up in the row, in words."""
    images: tuple[bytes, ...] = ()
    """The question's images in order, as encoded files (PNG, JPEG)."""


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


class QuestionScores(TypedDict):
    """One question's part in an evaluation."""

    row: int
    scores: list[float | None]
    """One for each of the `k` samples; None where the verifier gave none."""
