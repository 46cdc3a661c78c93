"""Resolution of settings: presets, OpenAI's names, errors that name the parameter."""

import json
from typing import Any

import pytest

from backend.core.hints import HINTS, Hint
from backend.core.methods import METHODS, MethodName, Part, method_named
from backend.core.settings.choices import Preset
from backend.core.settings.idle import idle_settings
from backend.core.settings.spec import PRESETS, RlsdSettings, settings_of
from backend.errors import AppError
from backend.jobs.notices import setting_notices
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import resolve_settings
from backend.settings import STARTER_MODEL
from worker.engine.methods import METHODS as CODE
from worker.training.prepare import engine_settings


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


@pytest.mark.parametrize("given", ["0.8; 4", [0.2], True])
def test_a_weight_clipping_that_is_no_pair_is_refused_with_an_example(given: object) -> None:
    with pytest.raises(AppError, match="one number for both, or two"):
        resolved(x_rlsd={"eps_w": given})


def test_epochs_become_steps_over_the_batch() -> None:
    settings = resolved(hyperparameters={"n_epochs": 3, "batch_size": 16})
    assert (settings.batch_size, settings.max_steps) == (16, 19)


@pytest.mark.parametrize(("given", "scale"), [(True, "std"), (False, "none"), ("mean", "mean")])
def test_the_scale_of_rewards_may_be_yes_or_no(given: object, scale: str) -> None:
    settings = resolved(x_rlsd={"scale_rewards": given})
    assert settings.scale_rewards == scale
    stored = settings.model_dump(mode="json", by_alias=True)
    assert stored["scale_rewards"] == scale
    assert RlsdSettings.model_validate(stored | {"scale_rewards": given}) == settings


def test_the_multiplier_scales_the_default_learning_rate() -> None:
    assert resolved(hyperparameters={"learning_rate_multiplier": 2.0}).learning_rate == pytest.approx(2e-4)


def test_imitation_has_a_learning_rate_of_its_own() -> None:
    assert resolved(x_rlsd={"method": "sft"}).learning_rate == pytest.approx(3e-4)
    assert resolved(x_rlsd={"method": "sft", "learning_rate": 1e-5}).learning_rate == pytest.approx(1e-5)
    multiplied = resolved(x_rlsd={"method": "sft"}, hyperparameters={"learning_rate_multiplier": 2.0})
    assert multiplied.learning_rate == pytest.approx(6e-4)
    warm = resolved(x_rlsd={"warm_start": {"rows": 64}}).warm_start
    assert (warm.rows, warm.epochs, warm.learning_rate, warm.target) == (64, 2, 3e-4, "solution")
    assert resolved().warm_start.rows == 0


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"x_rlsd": {"lambda": 1.5}}, "method.reinforcement.x_rlsd.lambda"),
        ({"x_rlsd": {"lamda": 0.5}}, "method.reinforcement.x_rlsd.lamda"),
        ({"x_rlsd": {"preset": "fast"}}, "method.reinforcement.x_rlsd.preset"),
        ({"x_rlsd": {"eps_w": [1.5, 1]}}, "method.reinforcement.x_rlsd.eps_w"),
        ({"x_rlsd": {"learning_rate": float("nan")}}, "method.reinforcement.x_rlsd.learning_rate"),
        ({"x_rlsd": {"scale_rewards": 1}}, "method.reinforcement.x_rlsd.scale_rewards"),
        ({"x_rlsd": {"lora": {"rank": 8}}}, "method.reinforcement.x_rlsd.lora.rank"),
        ({"x_rlsd": {"warm_start": {"rows": -1}}}, "method.reinforcement.x_rlsd.warm_start.rows"),
        ({"x_rlsd": {"warm_start": {"rows": True}}}, "method.reinforcement.x_rlsd.warm_start.rows"),
        ({"x_rlsd": {"warm_start": {"epochs": 0}}}, "method.reinforcement.x_rlsd.warm_start.epochs"),
        ({"x_rlsd": {"warm_start": {"target": "sibling"}}}, "method.reinforcement.x_rlsd.warm_start.target"),
        ({"x_rlsd": {"warm_start": {"steps": 4}}}, "method.reinforcement.x_rlsd.warm_start.steps"),
        ({"x_rlsd": {"warm_start": 64}}, "method.reinforcement.x_rlsd.warm_start"),
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
        name
        for name, field in RlsdSettings.model_fields.items()
        if name not in ("lora", "warm_start") and not field.description
    ]
    assert undescribed == []


def test_the_engine_takes_every_setting_and_misses_none() -> None:
    job = resolved(
        x_rlsd={"preset": "steady", "lora": {"r": 4}, "eps_w": 0.1, "hint": "trajectory", "practice": {"below": 0}}
    )
    assert engine_settings(job, seed=3).model_dump() == job.model_dump() | {"seed": 3}


def test_an_engine_gets_the_folder_of_a_model_that_has_one_here() -> None:
    job = resolved(x_rlsd={"method": "opd", "teacher_model": "starter"})
    assert engine_settings(job, seed=3).teacher_model == str(STARTER_MODEL)


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
        ({"method": "opsd", "sampling": "informative"}, "sampling"),
        ({"method": "opsd", "combine": "normalise"}, "combine"),
        ({"method": "good_prefix", "combine": "normalise"}, "combine"),
        ({"combine": "normalise", "scale_rewards": "none"}, "combine"),
        ({"method": "opsd", "practice": {}}, "practice"),
        ({"practice": {"below": 1.0}}, "practice.below"),
        ({"practice": {"hint": "sibling"}}, "practice.hint"),
        ({"practice": {"placebo_of": "placebo"}}, "practice.placebo_of"),
        ({"overlong_buffer": 65, "max_completion_tokens": 64}, "overlong_buffer"),
        ({"method": "opsd", "overlong_buffer": 8}, "overlong_buffer"),
        ({"method": "sft", "overlong_buffer": 8}, "overlong_buffer"),
        ({"method": "sft", "resample_rounds": 1}, "resample_rounds"),
        ({"method": "sft", "divergence": "jsd"}, "divergence"),
        ({"method": "sft", "kl_beta": 0.1}, "kl_beta"),
        ({"method": "sft", "mask_truncated": True}, "mask_truncated"),
        ({"method": "good_prefix", "overlong_buffer": 8}, "overlong_buffer"),
        ({"lr_warmup_steps": 5, "max_steps": 5}, "lr_warmup_steps"),
        ({"keep": "best"}, "keep"),
        ({"patience": 2, "eval_interval": 5}, "patience"),
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


@pytest.mark.parametrize(
    ("x_rlsd", "idle"),
    [
        ({"method": "grpo", "lambda": 0.7}, ["grpo does not read lambda"]),
        ({"method": "good_prefix", "scale_rewards": "none"}, ["good_prefix does not read scale_rewards"]),
        ({"method": "grpo", "lambda": 0.5, "first_error": False}, []),
        ({"overlong_penalty": 2, "lambda": 0.7}, ["overlong_penalty needs overlong_buffer other than 0"]),
        ({"placebo_of": "solution"}, ["placebo_of needs hint to be placebo"]),
        ({"hint": "placebo", "placebo_of": "solution", "overlong_buffer": 8, "overlong_penalty": 2}, []),
        ({"preset": "steady", "method": "grpo"}, []),
    ],
)
def test_a_chosen_setting_without_effect_is_named(x_rlsd: dict[str, Any], idle: list[str]) -> None:
    settings = resolved(x_rlsd=x_rlsd)
    assert list(idle_settings(settings, given=x_rlsd)) == idle
    codes = [notice.code for notice in setting_notices(settings, given=x_rlsd)]
    assert codes == ["idle_settings"] * bool(idle)


def test_a_method_and_its_code_have_the_same_name_and_no_method_lacks_code() -> None:
    assert [*METHODS] == [method.name for method in METHODS.values()]
    assert set(METHODS) == set(MethodName)
    crediting = {name for name, method in METHODS.items() if not method.imitates}
    assert set(CODE) == crediting
    assert {f"worker.engine.methods.{name}" for name in crediting} == {credit.__module__ for credit in CODE.values()}


def test_an_unknown_method_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(ValueError, match=r"method must be one of rlsd, grpo, .*, got 'dpo'"):
        method_named("dpo")


def test_every_part_of_a_method_has_settings_and_every_setting_of_a_part_a_method() -> None:
    used = {part for method in METHODS.values() for part in method.parts}
    assert used == set(Part)
    assert all(settings_of([part]) for part in Part)


def test_practice_is_off_unless_it_is_asked_for_and_shows_solutions_to_groups_of_at_most_a_fifth_right() -> None:
    assert resolved().practice is None
    practice = resolved(x_rlsd={"practice": {}}).practice
    assert practice is not None
    assert (practice.below, practice.hint) == (0.2, "solution")


def test_every_hint_has_its_facts() -> None:
    assert set(HINTS) == set(Hint)


def test_the_schema_describes_each_method_and_hint() -> None:
    documented = RlsdSettings.model_json_schema(by_alias=True)["properties"]
    assert set(documented["method"]["x-methods"]) == set(MethodName)
    assert set(documented["hint"]["x-hints"]) == set(Hint)
    assert "lambda" in documented["method"]["x-methods"]["rlsd"]["reads"]
    json.dumps(documented)
