"""A served model is read as its job read it."""

import pytest

from backend.chat.model_names import ServedModel
from backend.core.settings.spec import RlsdSettings
from backend.db.jobs import Job


@pytest.mark.parametrize("skips", [True, False])
def test_the_text_of_a_trained_model_is_that_of_its_job(skips: bool) -> None:
    spec = RlsdSettings(skip_special_tokens=skips).model_dump(mode="json", by_alias=True)
    assert ServedModel("starter", job=Job(spec=spec)).skips_special_tokens == skips


def test_the_text_of_a_base_model_is_that_of_a_new_job() -> None:
    assert not ServedModel("starter").skips_special_tokens
