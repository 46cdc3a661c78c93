"""From a request to decided settings: presets, OpenAI's names, refusals that name the parameter."""

import dataclasses
from typing import Any

import pytest

from backend.errors import AppError
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import resolve_settings
from backend.jobs.spec import PRESETS, Preset, RlsdSettings
from worker.engine.settings import Settings
from worker.setup import engine_settings


def reinforcement(**values: Any) -> Reinforcement:
    return Reinforcement.model_validate({"grader": {"type": "string_check"}, **values})


def resolved(**values: Any) -> RlsdSettings:
    return resolve_settings(reinforcement(**values), row_count=100)


def test_without_a_word_it_is_the_paper() -> None:
    settings = resolved()
    assert settings.preset is Preset.PAPER
    assert (settings.method, settings.lam, settings.lambda_decay_steps) == ("rlsd", 0.5, 50)
    assert (settings.eps_w, settings.teacher, settings.teacher_sync_steps) == ((0.2, 0.2), "snapshot", 10)
    assert (settings.num_generations, settings.temperature, settings.eps_low, settings.eps_high) == (8, 1.0, 0.2, 0.28)


def test_steady_is_constant_wide_normalised_and_masked() -> None:
    settings = resolved(x_rlsd={"preset": "steady"})
    assert (settings.lam, settings.lambda_decay_steps, settings.eps_w) == (1.0, 0, (0.8, 4.0))
    assert (settings.normalise, settings.first_error, settings.hint) == (True, True, "solution")


def test_a_said_value_wins_over_the_preset() -> None:
    assert resolved(x_rlsd={"preset": "steady", "lambda": 0.3}).lam == 0.3


def test_every_preset_is_valid() -> None:
    for preset in PRESETS:
        assert resolved(x_rlsd={"preset": preset}).preset is preset


def test_a_single_eps_w_stands_for_both_sides() -> None:
    assert resolved(x_rlsd={"eps_w": 0.1}).eps_w == (0.1, 0.1)


def test_epochs_become_steps_over_the_batch() -> None:
    settings = resolved(hyperparameters={"n_epochs": 3, "batch_size": 16})
    assert (settings.batch_size, settings.max_steps) == (16, 19)


def test_the_multiplier_scales_the_default_learning_rate() -> None:
    assert resolved(hyperparameters={"learning_rate_multiplier": 2.0}).learning_rate == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"x_rlsd": {"lambda": 1.5}}, "method.reinforcement.x_rlsd.lambda"),
        ({"x_rlsd": {"lamda": 0.5}}, "method.reinforcement.x_rlsd.lamda"),
        ({"x_rlsd": {"preset": "fast"}}, "method.reinforcement.x_rlsd.preset"),
        ({"x_rlsd": {"eps_w": [1.5, 1]}}, "method.reinforcement.x_rlsd.eps_w"),
        ({"x_rlsd": {"learning_rate": float("nan")}}, "method.reinforcement.x_rlsd.learning_rate"),
        ({"x_rlsd": {"lora": {"rank": 8}}}, "method.reinforcement.x_rlsd.lora.rank"),
        ({"x_rlsd": {"batch_size": 4}, "hyperparameters": {"batch_size": 8}}, "method.reinforcement.x_rlsd.batch_size"),
    ],
)
def test_a_bad_value_is_refused_by_its_own_name(values: dict[str, Any], param: str) -> None:
    with pytest.raises(AppError) as refusal:
        resolved(**values)
    assert refusal.value.status == 400
    assert refusal.value.param == param


def test_every_setting_tells_what_it_is() -> None:
    silent = [name for name, field in RlsdSettings.model_fields.items() if name != "lora" and not field.description]
    assert silent == []


def test_the_engine_takes_every_setting_and_misses_none() -> None:
    settings = engine_settings(resolved(), seed=3)
    assert {field.name for field in dataclasses.fields(Settings)} == {
        field.name for field in dataclasses.fields(settings)
    }
    assert (settings.seed, settings.lora_r) == (3, 16)
