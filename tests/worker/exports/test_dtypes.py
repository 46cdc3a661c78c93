"""The smallest dtype that agrees with the adapter is stored; a refusal names the one that would agree."""

import pytest

from backend.jobs.exports import ExportFormat
from worker.engine.export.equivalence import TOLERANCES, Agreement
from worker.exports.dtypes import DTYPES, Trial, another_may_agree, comparison_json, dtypes_to_try, stored_trial
from worker.exports.gguf_converter import OUT_TYPES


def trial(dtype: str, *, mean: float, spelled_alike: int = 2, read_alike: int = 2) -> Trial:
    found = Agreement(
        prompts=2, tokens=9, max_difference=0.001, mean_difference=mean, greedy_equal=1.0, effect=0.01,
        read_alike=read_alike, spelled_alike=spelled_alike, tolerance=TOLERANCES[dtype],
    )  # fmt: skip
    return Trial(dtype, found, tuple(found.faults(tokenizer_is_copied=True)))


REFUSED, AGREES, EXACT = trial("bfloat16", mean=0.009), trial("float16", mean=0.001), trial("float32", mean=1e-6)


def test_every_dtype_has_a_tolerance_and_a_gguf_type() -> None:
    assert set(TOLERANCES) == set(OUT_TYPES) == DTYPES


@pytest.mark.parametrize(
    ("format", "native", "requested", "expected"),
    [
        ("merged", "bfloat16", None, ("bfloat16", "float16", "float32")),
        ("merged", "float16", None, ("float16", "bfloat16", "float32")),
        ("merged", "float32", None, ("float16", "bfloat16", "float32")),
        ("merged", "bfloat16", "float32", ("float32", "bfloat16", "float16")),
        ("gguf", "bfloat16", None, ("q8_0", "bfloat16", "float16", "float32")),
        ("gguf", "bfloat16", "float16", ("float16", "q8_0", "bfloat16", "float32")),
    ],
)
def test_dtypes_are_tried_from_the_smallest_after_the_requested_one(
    format: str, native: str, requested: str | None, expected: tuple[str, ...]
) -> None:
    assert dtypes_to_try(ExportFormat(format), native=native, requested=requested) == expected


def test_by_default_the_first_that_agrees_is_stored_and_the_refused_are_named() -> None:
    assert stored_trial([REFUSED], requested=None) is None
    assert stored_trial([REFUSED, AGREES], requested=None) is AGREES
    found = comparison_json([REFUSED, AGREES], requested=None)
    assert (found["agrees"], found["dtype"], found["mean_difference"]) == (True, "float16", 0.001)
    assert found["tried"] == [
        {"dtype": "bfloat16", "agrees": False, "mean_difference": 0.009},
        {"dtype": "float16", "agrees": True, "mean_difference": 0.001},
    ]
    assert found["summary"].endswith("Stored as bfloat16, it would not agree.")


def test_a_requested_dtype_is_refused_with_the_one_that_would_agree() -> None:
    trials = [REFUSED, AGREES]
    assert stored_trial(trials, requested="bfloat16") is None
    found = comparison_json(trials, requested="bfloat16")
    assert (found["agrees"], found["dtype"], found["mean_difference"]) == (False, "bfloat16", 0.009)
    assert found["summary"].endswith("Stored as float16, it agrees: request this dtype.")
    assert stored_trial([EXACT], requested="float32") is EXACT


def test_where_no_dtype_agrees_the_adapter_itself_is_recommended() -> None:
    trials = [REFUSED, trial("float16", mean=float("nan")), trial("float32", mean=0.5)]
    for requested, dtype in ((None, "float32"), ("bfloat16", "bfloat16")):
        assert stored_trial(trials, requested=requested) is None
        found = comparison_json(trials, requested=requested)
        assert (found["agrees"], found["dtype"]) == (False, dtype)
        assert found["tried"][1]["mean_difference"] is None
        assert found["summary"].endswith(
            "No dtype that was tried (bfloat16 and float16 and float32) agrees: use the adapter on its base model."
        )


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"q8_0": 0.2}, True),
        ({"q8_0": 0.2, "bfloat16": 0.19}, False),
        ({"q8_0": 0.2, "bfloat16": 0.04}, True),
        ({"q8_0": 0.2, "bfloat16": 0.04, "float16": 0.03}, False),
        ({"float16": 0.03, "bfloat16": 0.04}, True),
        ({"bfloat16": 0.03, "float16": float("nan")}, True),
        ({"bfloat16": float("nan"), "float16": 0.03}, True),
    ],
)
def test_no_further_dtype_is_tried_where_rounding_is_not_the_cause(means: dict[str, float], expected: bool) -> None:
    trials = [trial(dtype, mean=mean) for dtype, mean in means.items()]
    assert another_may_agree(trials, tokenizer_is_copied=True) == expected


def test_no_further_dtype_is_tried_where_the_tokenizer_is_at_fault() -> None:
    assert not another_may_agree([trial("q8_0", mean=0.0, spelled_alike=1)], tokenizer_is_copied=False)
    differs = [trial("q8_0", mean=0.2, read_alike=1)]  # a GGUF's vocabulary as transformers reads it
    assert another_may_agree(differs, tokenizer_is_copied=False)
    assert not another_may_agree(differs, tokenizer_is_copied=True)


@pytest.mark.parametrize(("share", "agrees"), [(0.08, True), (0.12, False)])
def test_eight_bits_may_lose_a_tenth_of_what_was_learned(share: float, agrees: bool) -> None:
    assert (not trial("q8_0", mean=0.01 * share).faults) == agrees
    assert not trial("bfloat16", mean=0.01 * share).faults
