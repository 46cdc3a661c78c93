"""What a job imitates: how many rows and steps, and a refusal where no row has the text."""

import pytest

from backend.core.settings.spec import RlsdSettings
from backend.errors import AppError
from backend.jobs.imitation import imitates, require_rows, warm_steps


def settings(**values: object) -> RlsdSettings:
    return RlsdSettings.model_validate({"batch_size": 8, **values})


@pytest.mark.parametrize(("asked", "rows", "steps"), [(64, 100, 16), (64, 20, 6), (9, 100, 4), (0, 100, 0)])
def test_a_warm_start_has_a_step_for_each_batch_of_each_pass(asked: int, rows: int, steps: int) -> None:
    assert warm_steps(settings(warm_start={"rows": asked}), rows=rows) == steps


def test_only_jobs_that_imitate_need_rows_with_the_text() -> None:
    assert [imitates(settings()), imitates(settings(method="sft")), imitates(settings(warm_start={"rows": 1}))] == [
        False,
        True,
        True,
    ]
    assert require_rows(settings(), with_text=[False], filename="a.csv") == 0
    assert require_rows(settings(method="sft"), with_text=[False, True, True], filename="a.csv") == 2


@pytest.mark.parametrize(
    ("values", "what"), [({"method": "sft"}, "The method sft"), ({"warm_start": {"rows": 4}}, "The warm start")]
)
def test_without_any_text_the_job_is_refused_with_the_count(values: dict[str, object], what: str) -> None:
    with pytest.raises(AppError) as refusal:
        require_rows(settings(**values), with_text=[False] * 12, filename="sums.csv")
    assert refusal.value.message == (
        f"{what} imitates the worked solution of rows, but 0 of the 12 training rows of 'sums.csv' have one: set its "
        "column with `mapping` at upload, choose another `warm_start.target`, or train without imitation."
    )
    assert (refusal.value.code, refusal.value.param) == (
        "nothing_to_imitate",
        "method.reinforcement.x_rlsd.warm_start.target",
    )
