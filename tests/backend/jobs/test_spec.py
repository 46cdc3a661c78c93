"""Resolution of settings: presets, OpenAI's names, errors that name the parameter."""

import dataclasses
import json
from typing import Any

import pytest

from backend.errors import AppError
from backend.jobs.methods import HINTS, METHODS, ROW_HINTS, Hint, MethodName
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import resolve_settings
from backend.jobs.spec import PRESETS, Lora, Preset, RlsdSettings
from worker.engine.methods import METHODS as ENGINE_METHODS
from worker.engine.settings import Settings
from worker.engine.teacher.hints import ROW_HINTS as ENGINE_ROW_HINTS
from worker.engine.types import Hint as EngineHint
from worker.training.prepare import SERVICE_SETTINGS, engine_settings


def reinforcement(**values: Any) -> Reinforcement:
    return Reinforcement.model_validate({"grader": {"type": "string_check"}, **values})


def resolved(**values: Any) -> RlsdSettings:
    return resolve_settings(reinforcement(**values), row_count=100)


def test_the_defaults_are_the_papers() -> None:
    settings = resolved()
    assert settings.preset is Preset.PAPER
    assert (settings.method, settings.lam, settings.lambda_decay_steps) == ("rlsd", 0.5, 50)
    assert (settings.eps_w, settings.teacher, settings.teacher_sync_steps) == ((0.2, 0.2), "snapshot", 10)
    assert (settings.num_generations, settings.temperature, settings.eps_low, settings.eps_high) == (8, 1.0, 0.2, 0.28)


def test_steady_is_constant_wide_normalised_and_masked() -> None:
    settings = resolved(x_rlsd={"preset": "steady"})
    assert (settings.lam, settings.lambda_decay_steps, settings.eps_w) == (1.0, 0, (0.8, 4.0))
    assert (settings.normalise, settings.first_error, settings.hint) == (True, True, "solution")


def test_a_given_value_overrides_the_preset() -> None:
    assert resolved(x_rlsd={"preset": "steady", "lambda": 0.3}).lam == 0.3


def test_every_preset_is_valid() -> None:
    for preset in PRESETS:
        assert resolved(x_rlsd={"preset": preset}).preset is preset


def test_a_single_eps_w_sets_both_sides() -> None:
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


def test_every_setting_has_a_description() -> None:
    undescribed = [
        name for name, field in RlsdSettings.model_fields.items() if name != "lora" and not field.description
    ]
    assert undescribed == []


def test_the_engine_takes_every_setting_and_misses_none() -> None:
    settings = engine_settings(resolved(), seed=3)
    from_job = RlsdSettings.model_fields.keys() - SERVICE_SETTINGS
    from_lora = {f"lora_{name}" for name in Lora.model_fields}
    assert {field.name for field in dataclasses.fields(Settings)} == from_job | from_lora | {"seed"}
    assert (settings.seed, settings.lora_r) == (3, 16)


@pytest.mark.parametrize(
    ("x_rlsd", "param"),
    [
        ({"method": "sdpo", "hint": "answer"}, "hint"),
        ({"method": "rlsd_template", "hint": "empty"}, "hint"),
        ({"method": "cepo", "hint": "wrong_sibling"}, "hint"),
        ({"method": "opd"}, "teacher_model"),
        ({"method": "rlsd", "teacher_model": "starter"}, "teacher_model"),
        ({"method": "rlsd", "divergence": "jsd"}, "divergence"),
        ({"method": "opsd", "resample_rounds": 2}, "resample_rounds"),
        ({"sharding": "sharded"}, "sharding"),
        ({"devices": 3, "batch_size": 8}, "batch_size"),
        ({"devices": 2, "generator": "vllm"}, "generator"),
        ({"placebo_of": "sibling"}, "placebo_of"),
        ({"method": "ppo"}, "method"),
        ({"teacher_device": "cuda:x"}, "teacher_device"),
    ],
)
def test_contradictory_settings_are_refused_naming_one_of_them(x_rlsd: dict[str, Any], param: str) -> None:
    with pytest.raises(AppError) as refusal:
        resolved(x_rlsd=x_rlsd)
    assert refusal.value.param == f"method.reinforcement.x_rlsd.{param}"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", MethodName)
def test_every_method_works_with_every_preset(method: MethodName, preset: Preset) -> None:
    teacher = {"teacher_model": "starter"} if method is MethodName.OPD else {}
    settings = resolved(x_rlsd={"method": method, "preset": preset, **teacher})
    assert engine_settings(settings, seed=1).method == method


def test_the_facts_of_the_methods_match_the_engine() -> None:
    documented = {
        str(name): (facts.teacher, facts.hint, facts.contrast, facts.fades, facts.rewarded, facts.distils)
        for name, facts in METHODS.items()
    }
    implemented = {
        name: (method.teacher, method.hint, method.contrast, method.uses_lambda, method.uses_reward, method.distils)
        for name, method in ENGINE_METHODS.items()
    }
    assert documented == implemented
    assert set(METHODS) == set(MethodName)


def test_the_facts_of_the_hints_match_the_engine() -> None:
    assert set(HINTS) == set(Hint) == set(map(str, EngineHint))
    assert set(ROW_HINTS) == set(map(str, ENGINE_ROW_HINTS))


def test_a_method_reads_only_existing_settings() -> None:
    known = {field.alias or name for name, field in RlsdSettings.model_fields.items()}
    assert {name for facts in METHODS.values() for name in facts.reads} <= known


def test_the_schema_describes_each_method_and_hint() -> None:
    documented = RlsdSettings.model_json_schema(by_alias=True)["properties"]
    assert set(documented["method"]["x-methods"]) == set(MethodName)
    assert set(documented["hint"]["x-hints"]) == set(Hint)
    assert "lambda" in documented["method"]["x-methods"]["rlsd"]["reads"]
    json.dumps(documented)
