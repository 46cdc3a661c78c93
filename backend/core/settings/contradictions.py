"""Settings that are each valid but contradict each other."""

from collections.abc import Iterator
from dataclasses import dataclass

from backend.core.methods import METHODS, Part, TeacherKind, methods_with
from backend.core.settings.choices import Combine, Divergence, Keep, RewardScale, RowSampling, Sharding
from backend.core.settings.spec import RlsdSettings


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A setting that does not go with another, and a sentence that says why and what to do."""

    setting: str
    sentence: str


def contradiction(settings: RlsdSettings) -> Contradiction | None:
    """Return the first contradiction; None if there is none."""
    return next(iter((*_with_the_method(settings), *_with_each_other(settings))), None)


def _with_the_method(settings: RlsdSettings) -> Iterator[Contradiction]:
    method = METHODS[settings.method]
    if method.hint is not None and settings.hint is not method.hint:
        yield Contradiction(
            "hint",
            f"The method {method.name} requires the hint '{method.hint}', not '{settings.hint}': leave hint out, or "
            "use a method that allows any hint.",
        )
    if method.contrast is not None and settings.hint is method.contrast:
        yield Contradiction(
            "hint",
            f"The method {method.name} contrasts its hint with '{method.contrast}', so the hint must be a different "
            "one.",
        )
    if method.teacher is TeacherKind.EXTERNAL and settings.teacher_model is None:
        yield Contradiction("teacher_model", f"The method {method.name} imitates a larger model: set teacher_model.")
    if Part.LARGER not in method.parts and settings.teacher_model is not None:
        yield Contradiction("teacher_model", _unused("teacher_model", Part.LARGER, method=method.name))
    if Part.DIVERGENCE not in method.parts and settings.divergence is not Divergence.SAMPLED:
        yield Contradiction(
            "divergence", _unused(f"divergence '{settings.divergence}'", Part.DIVERGENCE, method=method.name)
        )
    if Part.REWARD not in method.parts and settings.resample_rounds > 0:
        yield Contradiction(
            "resample_rounds",
            f"resample_rounds replaces questions whose completions all have the same score, but {method.name} does not "
            "learn from scores: set it to 0.",
        )
    if Part.REWARD not in method.parts and settings.practice is not None:
        yield Contradiction(
            "practice",
            f"practice trains on the scores of completions that saw a hint, but {method.name} does not learn from "
            "scores: leave it out.",
        )
    if Part.REWARD not in method.parts and settings.sampling is RowSampling.INFORMATIVE:
        yield Contradiction(
            "sampling",
            f"sampling 'informative' prefers questions that are sometimes right, but {method.name} does not learn from "
            "scores: use sampling 'uniform'.",
        )
    if Part.ADVANTAGE not in method.parts and settings.combine is Combine.NORMALISE:
        yield Contradiction(
            "combine",
            f"combine 'normalise' changes the advantages within groups, but {method.name} does not use them: use "
            "combine 'sum'.",
        )
    for name, is_set in (("kl_beta", settings.kl_beta > 0), ("mask_truncated", settings.mask_truncated)):
        if method.imitates and is_set:
            yield Contradiction(
                name,
                f"{name} is about completions that a method samples, but {method.name} imitates texts of the rows: "
                "leave it out.",
            )
    if Part.ADVANTAGE not in method.parts and settings.overlong_buffer > 0:
        yield Contradiction(
            "overlong_buffer",
            f"overlong_buffer lowers the rewards of long completions, but {method.name} compares no rewards: set it to "
            "0.",
        )


def _with_each_other(settings: RlsdSettings) -> Iterator[Contradiction]:
    if settings.overlong_buffer > settings.max_completion_tokens:
        yield Contradiction(
            "overlong_buffer",
            f"overlong_buffer {settings.overlong_buffer} is the last part of a completion of at most "
            f"{settings.max_completion_tokens} tokens: use max_completion_tokens or less.",
        )
    if settings.keep is Keep.BEST and settings.eval_interval == 0:
        yield Contradiction(
            "keep",
            "keep 'best' chooses among evaluations during training, but there are none: set eval_interval to 1 or "
            "more, or keep to 'last'.",
        )
    if settings.patience > 0 and settings.keep is not Keep.BEST:
        yield Contradiction(
            "patience",
            "patience counts evaluations on the questions that choose the best step, which only keep 'best' sets "
            "apart: set keep to 'best', or patience to 0.",
        )
    if settings.lr_warmup_steps >= settings.max_steps:
        yield Contradiction(
            "lr_warmup_steps",
            f"lr_warmup_steps {settings.lr_warmup_steps} leaves none of the {settings.max_steps} steps at the full "
            "learning rate: use fewer than max_steps.",
        )
    if settings.combine is Combine.NORMALISE and settings.scale_rewards is not RewardScale.STD:
        yield Contradiction(
            "combine",
            "combine 'normalise' divides each component by its group's standard deviation, which scale_rewards "
            f"'{settings.scale_rewards}' contradicts: use scale_rewards 'std', or combine 'sum'.",
        )
    if settings.batch_size % settings.devices:
        yield Contradiction(
            "batch_size",
            f"batch_size {settings.batch_size} cannot be divided evenly among {settings.devices} devices: use a "
            f"multiple of {settings.devices}.",
        )
    if settings.sharding is Sharding.SHARDED and settings.devices == 1:
        yield Contradiction(
            "sharding",
            "sharding 'sharded' splits the model across devices: set devices to 2 or more, or leave sharding out.",
        )
    if settings.generator == "vllm" and settings.devices > 1:
        yield Contradiction(
            "generator",
            "generator 'vllm' supports one device only: set devices to 1, or generator to 'transformers'.",
        )


def _unused(given: str, part: Part, *, method: str) -> str:
    return f"{given} is only used by {', '.join(methods_with(part))}, not by {method}: leave it out."
