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
    """The question, as the row's chat messages, which the verifier gets."""
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
    prompt_messages: tuple[Mapping[str, object], ...] | None = None
    """The messages that the model gets, where they differ: with the job's instruction, or system messages folded."""
    accepted: tuple[str, ...] = ()
    """All right answers, where the row has several of which any one is right."""

    @property
    def right(self) -> str | tuple[str, ...] | None:
        """What the verifier compares with."""
        return self.accepted or self.answer

    @property
    def prompt(self) -> tuple[Mapping[str, object], ...]:
        """The messages that the model gets."""
        return self.messages if self.prompt_messages is None else self.prompt_messages


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

    @property
    def components(self) -> Mapping[str, float]:
        """What a verifier that combines others got from each, by its name."""


Reward = Callable[[Sequence[Completion]], Sequence[Score]]
"""Function that scores completions: one score each, in order."""


class QuestionScores(TypedDict):
    """One question's scores in an evaluation."""

    row: int
    scores: list[float | None]
    """One per sample (`k`); None where the verifier gave none."""


class Selection(TypedDict):
    """The score on held-out questions by which a step is kept."""

    mean: float
    n: int
    """Questions with a score."""
