"""Settings of prompts, completions and what is measured on them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from backend.core.methods import Part
from backend.core.settings.about import About, Strict, When
from backend.core.settings.choices import BudgetUnit, Keep, RowSampling, listed
from backend.core.settings.limits import MAX_BUDGET

MAX_INSTRUCTION = 4000
MAX_EXAMPLES = 8
LEAST_TO_HALVE = 4
"""Fewest held-out questions of which one half chooses the step that is kept, and the other measures."""


class Asking(Strict):
    """What the model gets with every question."""

    instruction: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=MAX_INSTRUCTION),
        About(
            "Instruction to the model",
            why="Rows may bring a system message of their own. One line that says how to mark the answer often lets a "
            "verifier read answers that it would miss.",
        ),
    ] = Field(
        "",
        description="What to tell the model with every question: a system message before the row's messages, or at "
        "the beginning of the row's own system message: in training, in the teacher's prompts, in evaluations and in "
        "the pre-flight. Verifiers do not get it. The trained model should be asked with it too.",
    )
    example_rows: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...],
        About(
            "Rows in the instruction",
            why="An instruction need not show examples.",
            in_form=False,
        ),
    ] = Field(
        (),
        max_length=MAX_EXAMPLES,
        description="Numbers of the rows, from 0, that the instruction shows as examples: neither trained nor measured "
        "on, nor are rows equal to them.",
    )


class Sampling(Strict):
    """Prompts and completions."""

    sampling: Annotated[
        RowSampling,
        listed(*RowSampling),
        About(
            "Rows of a step",
            why="Every question is asked equally often, and runs of one seed ask the same ones. Worth it if most "
            "questions are always or never solved.",
            part=Part.REWARD,
        ),
    ] = Field(
        RowSampling.UNIFORM,
        title="Sampling",
        description="Rows that a step draws: each once in every pass (uniform), or those more often whose completions "
        "were sometimes right before (informative).",
    )
    temperature: Annotated[
        float,
        About("Temperature", why="1 samples from the model's own distribution; lower values hide less likely answers."),
    ] = Field(1.0, gt=0, le=10, description="Sampling temperature.")
    skip_special_tokens: Annotated[
        bool,
        About(
            "Leave special tokens out of the text",
            why="A verifier should see the text as written, and all pages show what it saw.",
        ),
    ] = Field(
        False,
        description="Leave the tokenizer's special tokens, such as `<think>` or `<tool_call>` in some models, out of "
        "the text of completions. Off: the verifier and all pages see the text as written. Tokens that "
        "end, begin or pad a sequence are never part of it.",
    )
    max_prompt_tokens: Annotated[
        int,
        About(
            "Maximum prompt length",
            unit="tokens",
            why="Long enough for most questions with their hint; the dataset page counts the tokens of yours.",
        ),
    ] = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Longest prompt, including the hint, in tokens. The limit is lower if the model's context length "
        "minus max_completion_tokens is less; the pre-flight reports it.",
    )
    fold_system: Annotated[
        bool,
        About(
            "System message inside the user message",
            why="Most chat templates have a system role of their own, which the model was trained with.",
            may_change=True,
        ),
    ] = Field(
        False,
        description="Put system messages into the user message after them, for models whose chat template has no "
        "system role.",
    )
    success_above: Annotated[
        float, About("Score above which a completion is right", why="A score of half or less does not count as right.")
    ] = Field(
        0.5, ge=-1e9, le=1e9, description="Score above which a completion counts as right, for siblings and statistics."
    )


class Measuring(Strict):
    """Budget, evaluations, checkpoints and what is recorded."""

    budget: Annotated[
        float,
        About(
            "Budget",
            zero="none",
            why="Off: training ends after its steps. Comparisons set it, so that all methods use the same amount.",
            may_change=True,
        ),
    ] = Field(
        0,
        ge=0,
        le=MAX_BUDGET,
        description="Limit on what the run may use. The run ends with the step that reaches it, or at `max_steps`, "
        "whichever is first, and is then evaluated; 0: unlimited.",
    )
    budget_unit: Annotated[
        BudgetUnit,
        About(
            "Budget unit", why="Steps are the most common unit.", when=When("budget", 0, differs=True), may_change=True
        ),
    ] = Field(
        "steps",
        description="Unit of `budget`: steps, tokens (sampled, scored by the teacher and trained on), or seconds of "
        "the steps times `devices`.",
    )
    eval_samples: Annotated[
        int,
        About(
            "Completions per held-out question",
            symbol="k",
            unit="completions",
            why="Four answers per question average out chance at little cost.",
        ),
    ] = Field(4, ge=1, le=256, description="Completions per held-out question (of avg@k).")
    eval_interval: Annotated[
        int,
        About(
            "Steps between evaluations",
            zero="before and after only",
            unit="steps",
            why="The verdict needs only before and after; evaluations in between cost time.",
            may_change=True,
        ),
    ] = Field(0, ge=0, le=1_000_000, description="Steps between evaluations; 0: only before and after training.")
    keep: Annotated[
        Keep,
        listed(*Keep),
        About(
            "Model to keep",
            why="All held-out questions then measure the result. Worth halving them if scores rise and fall again.",
        ),
    ] = Field(
        Keep.LAST,
        title="Keep",
        description="Which adapter is the job's model: that of the last step (last), or that of the evaluated step, "
        "the one before training included, with the best score on one half of the held-out questions; the result is "
        "then measured on the other half alone (best). Needs `eval_interval`.",
    )
    patience: Annotated[
        int,
        About(
            "Evaluations without improvement before the end",
            unit="evaluations",
            zero="no early end",
            why="Off: training ends after its steps. A few evaluations tell a bad turn from chance.",
            when=When("keep", Keep.BEST),
            may_change=True,
        ),
    ] = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Consecutive evaluations that are no better than the best before them, on the half of the held-out "
        "questions that chooses, after which training ends; 0: never.",
    )
    eval_rows: Annotated[
        int,
        About(
            "Maximum held-out questions",
            unit="questions",
            why="200 questions can show score changes of about 0.05.",
            may_change=True,
        ),
    ] = Field(200, ge=2, le=100_000, description="Maximum number of held-out questions.")
    held_out_share: Annotated[
        float, About("Share of rows held out", why="A tenth is for evaluation, the rest for training.", may_change=True)
    ] = Field(0.1, gt=0, lt=1, description="Share of the training rows held out if there is no validation file.")
    checkpoint_interval: Annotated[
        int,
        About(
            "Steps between checkpoints",
            unit="steps",
            why="At most this many steps are lost if a machine fails.",
            may_change=True,
        ),
    ] = Field(20, ge=1, le=1_000_000, description="Steps between two checkpoints.")
    token_share: Annotated[
        float,
        About(
            "Share of completions with token credit",
            why="A quarter shows the patterns without filling the database.",
            may_change=True,
        ),
    ] = Field(0.25, ge=0, le=1, description="Share of completions whose per-token credit is stored.")
    diagnostic_interval: Annotated[
        int,
        About(
            "Steps between diagnostics",
            zero="never",
            unit="steps",
            why="Often enough to show a drift, rarely enough to cost little.",
            may_change=True,
        ),
    ] = Field(
        10,
        ge=0,
        le=1_000_000,
        description="Steps between diagnostics (distance to the initial model, placebo) on eight completions; 0: "
        "never.",
    )
    max_error_share: Annotated[
        float,
        About(
            "Pause above this verifier error share",
            why="With more errors than that, the verifier is probably broken.",
            may_change=True,
        ),
    ] = Field(
        0.5, ge=0, le=1, description="Largest share of errors and timeouts among a step's scores before the job pauses."
    )
    max_dead_steps: Annotated[
        int,
        About(
            "Pause after steps without signal",
            zero="never",
            unit="steps",
            why="After that many steps without a signal, more steps are unlikely to help.",
            may_change=True,
        ),
    ] = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Consecutive steps without any signal in the scores before the job pauses; 0: never.",
    )
