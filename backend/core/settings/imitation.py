"""Settings of imitation: what is shown to the model before its first step of training."""

from typing import Annotated

from pydantic import AfterValidator, Field

from backend.core.hints import Hint
from backend.core.settings.about import About, Strict, When
from backend.core.settings.choices import listed

SHOWABLE = (Hint.SOLUTION, Hint.ANSWER, Hint.TRAJECTORY)
"""Texts of a row that a model can imitate."""
TARGET_WORDS = {Hint.SOLUTION: "worked solution", Hint.ANSWER: "answer", Hint.TRAJECTORY: "trajectory"}


def _showable(target: Hint) -> Hint:
    if target not in SHOWABLE:
        raise ValueError(f"must be one of {', '.join(SHOWABLE)}")
    return target


class WarmStart(Strict):
    """Imitation before the method's first step."""

    rows: Annotated[
        int,
        About(
            "Rows to imitate first",
            unit="rows",
            zero="none",
            why="Off: a model that solves some of the questions can start at once. If it solves none, 64 rows are "
            "often enough.",
        ),
    ] = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Training rows whose text the model imitates before the first step, chosen by the seed; 0: no warm "
        "start. If fewer have one, all of these.",
    )
    epochs: Annotated[
        int,
        About(
            "Passes over these rows",
            unit="epochs",
            why="Once teaches the form; a second pass makes it stick.",
            when=When("rows", 0, differs=True),
        ),
    ] = Field(2, ge=1, le=1000, description="Passes over the rows of the warm start, in batches of `batch_size`.")
    learning_rate: Annotated[
        float,
        About(
            "Learning rate of the warm start",
            why="Higher than in training: given texts are a clearer signal than rewards.",
            when=When("rows", 0, differs=True),
        ),
    ] = Field(3e-4, gt=0, le=1, description="Step size of AdamW in the warm start, constant.")
    target: Annotated[
        Hint,
        AfterValidator(_showable),
        listed(*SHOWABLE),
        About(
            "Text to imitate",
            why="A worked solution shows how to answer; an answer alone teaches its form and guessing.",
        ),
    ] = Field(
        Hint.SOLUTION,
        title="Target",
        description="The row's text that the model imitates in the warm start and with the method `sft`.",
    )
