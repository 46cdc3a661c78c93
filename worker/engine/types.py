"""The engine's shared types, and the glossary of its tensor shapes.

Shape suffixes, used in every module of this folder:

| suffix | axis |
|---|---|
| `B` | sequences of a step, `P * G`, prompt-major: the `G` samples of a prompt are adjacent |
| `b` | sequences of one micro-batch |
| `P` | prompts of a step |
| `G` | samples per prompt (`num_generations`) |
| `T` | completion tokens, padded to the longest completion of the step (or of the micro-batch, after `b`) |
| `L` | prompt tokens |
| `V` | vocabulary |
| `H` | hidden size; in attention (`packing.py`) the query heads |
| `N` | tokens or images in one flat row |
| `K` | contrasting hints; in attention the key and value heads |
| `Q` | distinct contexts of a packed row |
| `R`, `S` | rows and keys of an attention block (`packed_attention.py`) |
| `W` | columns of a padded row |
| `D` | dimension of an attention head |
| a digit | an axis of that size |

Log-probabilities are natural logarithms at the sampling temperature. A mask is True at the tokens that the student
sampled, up to and including its first end-of-sequence token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypedDict


class TeacherWeights(StrEnum):
    """Weights that the teacher scores with (docs/rlsd.md section 2)."""

    BASE = "base"
    """The base model, adapter disabled."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps` optimizer steps."""
    LIVE = "live"
    """The adapter in training, in evaluation mode."""


class Hint(StrEnum):
    """Privileged information that only the teacher sees, `r` (docs/rlsd.md section 2). Independent of the method."""

    ANSWER = "answer"
    """The row's final reference answer."""
    SOLUTION = "solution"
    """The row's worked solution."""
    TRAJECTORY = "trajectory"
    """The row's recorded path to the answer, such as a stronger model's."""
    PRIVILEGED = "privileged"
    """The row's own text for the teacher (`teacher_prompt`, `privileged_context`)."""
    GRADER = "grader"
    """The row's fields that the verifier reads."""
    SIBLING = "sibling"
    """A successful completion of the same group, never the sequence's own."""
    WRONG_SIBLING = "wrong_sibling"
    """A failed completion of the same group, never the sequence's own."""
    PLACEBO = "placebo"
    """Another row's hint of the kind `placebo_of`: measures the effect of any hint at all."""
    EMPTY = "empty"
    """The hint block without content: measures the effect of the template."""


class Divergence(StrEnum):
    """Signal of a distilling method at each token: the sampled token, or a divergence over the vocabulary."""

    SAMPLED = "sampled"
    """The sampled token's log-ratio, used as an advantage."""
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
    """Aggregation of the token objectives into the loss."""

    TOKEN_MEAN = "token_mean"  # noqa: S105 - the name of an average, not a secret
    """Mean over all completion tokens of the step."""
    SEQUENCE_MEAN = "sequence_mean"
    """Mean over sequences of the mean over each sequence's tokens."""
    CONSTANT = "constant"
    """Sum over all tokens, divided by sequences times `max_completion_tokens` (Dr. GRPO, arXiv 2503.20783)."""


class Budget(StrEnum):
    """Unit of a run's budget."""

    STEPS = "steps"
    """Optimizer steps."""
    TOKENS = "tokens"
    """Tokens sampled, scored by the teacher and trained on."""
    SECONDS = "seconds"
    """Seconds of the steps, times the number of devices."""


class ControlSignal(StrEnum):
    """Command to a run from outside, read between steps."""

    CONTINUE = "continue"
    """Continue."""
    PAUSE = "pause"
    """Stop with a checkpoint; the run will be resumed."""
    CANCEL = "cancel"
    """Stop with a checkpoint; the run will not be resumed."""


class Ending(StrEnum):
    """Reason why a run ended."""

    DONE = "done"
    """All steps are done, or the budget is used up, and the final evaluation is recorded."""
    PAUSED = "paused"
    """Stopped by `ControlSignal.PAUSE`."""
    CANCELLED = "cancelled"
    """Stopped by `ControlSignal.CANCEL`."""
    VERIFIER_FAULTS = "verifier_faults"
    """Too many completions of one step could not be scored (`max_error_share`)."""
    NO_SIGNAL = "no_signal"
    """No step had a training signal for `max_dead_steps` consecutive steps."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the dataset: a question with its reference data."""

    row: int
    """Number of the row in its file."""
    messages: tuple[Mapping[str, object], ...]
    """The question, as chat messages."""
    answer: str | None
    """The final reference answer, where the row has one."""
    solution: str | None
    """A worked solution, where the row has one."""
    trajectory: str | None
    """A recorded path to the answer, where the row has one."""
    privileged: str | None
    """The row's own text for the teacher, where it has one."""
    item: Mapping[str, object]
    """The original row, for the verifier."""
    looked_up: str | None = None
    """The row's fields that the verifier reads, as text."""
    tools: tuple[Mapping[str, object], ...] = ()
    """The functions that the model may call, as OpenAI's chat completions describe them."""
    images: tuple[bytes, ...] = ()
    """The question's images in order, as encoded files (PNG, JPEG)."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The reward's input for one rollout: the task and the student's text, never the hint."""

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
"""Function that scores completions: one score each, in order."""


class QuestionScores(TypedDict):
    """One question's scores in an evaluation."""

    row: int
    scores: list[float | None]
    """One per sample (`k`); None where the verifier gave none."""
