"""The estimate of a job from earlier steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.spec import RlsdSettings
from backend.jobs.estimate import KnownStep, Range, cost_of, estimate, remaining_evaluations

METRICS = {
    "step_s": 10.0,
    "rollout_s": 4.0,
    "update_s": 3.0,
    "teacher_s": 1.0,
    "rollout_tokens": 6400.0,
    "peak_memory_bytes": 1e9,
}


def settings(**values: object) -> RlsdSettings:
    return RlsdSettings.model_validate({"batch_size": 8, "num_generations": 8, "max_steps": 100, **values})


def known(count: int = 1, *, scale: float = 1.0, spec: RlsdSettings | None = None, **changes: float) -> list[KnownStep]:
    metrics = {name: value * scale if name.endswith("_s") else value for name, value in METRICS.items()} | changes
    return [KnownStep(job_id=f"job-{n}", settings=spec or settings(), metrics=metrics) for n in range(count)]


def test_the_same_job_again_takes_the_same_time() -> None:
    found = estimate(settings(), known=known(), held_out_rows=0)
    assert found is not None
    assert found.step_s.median == pytest.approx(10.0)
    assert found.total_s.median == pytest.approx(1000.0)
    assert found.total_tokens.median == pytest.approx(640_000)
    assert found.peak_memory_bytes == Range(1e9, 1e9, 1e9)


def test_twice_the_completions_take_twice_the_time() -> None:
    found = estimate(settings(batch_size=16), known=known(), held_out_rows=0)
    assert found is not None
    assert found.step_s.median == pytest.approx(20.0)


def test_a_method_without_a_teacher_saves_its_time_and_one_with_adds_it() -> None:
    without = estimate(settings(method="grpo"), known=known(), held_out_rows=0)
    added = estimate(settings(), known=known(spec=settings(method="grpo"), teacher_s=0.0, step_s=9.0), held_out_rows=0)
    assert without is not None
    assert added is not None
    assert without.step_s.median == pytest.approx(9.0)
    assert added.step_s.median == pytest.approx(9.0 + 3.0 / 3)


def test_imitation_takes_an_update_over_one_text_per_question() -> None:
    alone = estimate(settings(method="sft"), known=known(), held_out_rows=0)
    assert alone is not None
    assert alone.step_s.median == pytest.approx(3.0 / 8)
    assert alone.total_tokens.median == 0
    plain = estimate(settings(), known=known(), held_out_rows=0)
    warm = estimate(settings(), known=known(), held_out_rows=0, warm_steps=16)
    assert plain is not None
    assert warm is not None
    assert warm.total_s.median - plain.total_s.median == pytest.approx(16 * 3.0 / 8)
    assert warm.total_tokens == plain.total_tokens
    measured = estimate(settings(), known=known(), held_out_rows=50, warm_steps=16)
    without = estimate(settings(), known=known(), held_out_rows=50)
    assert measured is not None
    assert without is not None
    once = 50 * 4 * 100 * (4.0 / 6400)
    assert measured.total_s.median - without.total_s.median == pytest.approx(16 * 3.0 / 8 + once)


def test_a_budget_in_steps_counts_the_warm_start() -> None:
    found = estimate(settings(budget=20), known=known(), held_out_rows=0, warm_steps=16)
    assert found is not None
    assert found.total_s.median == pytest.approx(16 * 3.0 / 8 + 4 * 10.0)


def test_evaluations_count() -> None:
    plain = estimate(settings(), known=known(), held_out_rows=0)
    more = estimate(settings(eval_interval=25, eval_samples=4), known=known(), held_out_rows=50)
    assert plain is not None
    assert more is not None
    sampled = 5 * 50 * 4 * 100 * (4.0 / 6400)  # before, at 25, 50, 75, and after; 100 tokens a completion
    assert more.total_s.median - plain.total_s.median == pytest.approx(sampled)


def test_completions_do_not_grow_beyond_their_limit() -> None:
    found = estimate(settings(max_completion_tokens=50), known=known(), held_out_rows=0)
    assert found is not None
    assert found.total_tokens.median == pytest.approx(50 * 64 * 100)


def test_the_completion_limit_does_not_scale_the_prompt() -> None:
    found = estimate(settings(max_completion_tokens=80), known=known(completion_tokens_mean=80.0), held_out_rows=0)
    assert found is not None
    assert found.step_s.median == pytest.approx(10.0)


def test_memory_is_estimated_only_from_steps_with_limits_as_large() -> None:
    found = estimate(settings(micro_batch_tokens=100_000), known=known(), held_out_rows=0)
    assert found is not None
    assert found.peak_memory_bytes is None


def test_memory_has_a_range_too() -> None:
    steps = [step for held in (1e9, 2e9, 4e9) for step in known(peak_memory_bytes=held)]
    found = estimate(settings(), known=steps, held_out_rows=0)
    assert found is not None
    assert found.peak_memory_bytes == Range(1e9, 2e9, 4e9)


@pytest.mark.parametrize(
    ("unit", "budget"), [("steps", 31), ("seconds", 30 * 10.0 * 2), ("tokens", 30 * (6400.0 + 2000.0 + 6400.0))]
)
def test_a_job_with_a_budget_ends_with_the_step_that_uses_it_up(unit: str, budget: float) -> None:
    steps = known(teacher_tokens=2000.0, update_tokens=6400.0)
    bounded = settings(budget=budget - 1, budget_unit=unit, devices=2 if unit == "seconds" else 1)
    found = estimate(bounded, known=steps, held_out_rows=0)
    assert found is not None
    assert found.total_s.median == pytest.approx(300.0)
    whole = estimate(settings(budget=1e9, budget_unit=unit), known=steps, held_out_rows=0)
    assert whole is not None
    assert whole.total_s.median == pytest.approx(1000.0)


@pytest.mark.parametrize(("measured", "expected"), [(0, 4), (25, 3), (75, 1)])
def test_remaining_evaluations_are_counted_from_the_newest(measured: int, expected: int) -> None:
    assert remaining_evaluations(settings(eval_interval=25), evaluated_at=measured, last=100) == expected
    assert remaining_evaluations(settings(eval_interval=0), evaluated_at=measured, last=100) == 1


@pytest.mark.parametrize("changes", [{"rollout_tokens": 0.0}, {"step_s": 0.0}], ids=["no tokens", "no time"])
def test_there_is_no_estimate_without_usable_steps(changes: dict[str, float]) -> None:
    assert estimate(settings(), known=[], held_out_rows=10) is None
    assert estimate(settings(), known=known(**changes), held_out_rows=10) is None


def test_the_price_is_of_all_devices() -> None:
    found = estimate(settings(), known=known(), held_out_rows=0)
    assert found is not None
    assert cost_of(found.total_s, devices=4, price_per_hour=3.6).median == pytest.approx(4.0)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_the_range_contains_the_median_and_lies_within_the_known_steps(scales: list[float]) -> None:
    steps = [step for scale in scales for step in known(scale=scale)]
    found = estimate(settings(), known=steps, held_out_rows=0)
    assert found is not None
    within = found.step_s
    assert min(scales) * 10 - 1e-6 <= within.low <= within.median <= within.high <= max(scales) * 10 + 1e-6


def test_without_known_answers_the_range_ends_where_each_is_as_long_as_allowed() -> None:
    """A job on other data that answered in 80 tokens says nothing about answers of 800."""
    long = settings(max_completion_tokens=800)
    steps = known(completion_tokens_mean=80.0)
    same = estimate(long, known=steps, held_out_rows=0)
    other = estimate(long, known=steps, held_out_rows=0, same_answers=False)
    assert same is not None
    assert other is not None
    assert other.total_s.median == same.total_s.median
    assert other.total_tokens.high == pytest.approx(10 * same.total_tokens.high)
    assert other.total_s.high > 5 * same.total_s.high
