"""Each field of the official client's types for a job is honoured, taken where it asks for nothing, or refused."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import openai
import pytest
from openai.types.fine_tuning import (
    job_create_params,
    reinforcement_hyperparameters_param,
    reinforcement_method_param,
)
from openai.types.graders import (
    label_model_grader_param,
    multi_grader_param,
    python_grader_param,
    score_model_grader_param,
    string_check_grader_param,
    text_similarity_grader_param,
)
from openai.types.responses import response_input_text_param

from backend.settings import settings
from tests.service.conftest import Api, answered
from tests.service.openai_bodies import ALIKE, JUDGED, LABELS, MULTI, PYTHON, ROWS, SAYS, body


@pytest.fixture
def rows(api: Api) -> str:
    return str(answered(api.upload(*ROWS))["id"])


REINFORCEMENT = "method.reinforcement"
HYPER = f"{REINFORCEMENT}.hyperparameters"
GRADER = f"{REINFORCEMENT}.grader"
SAMPLING = f"{GRADER}.sampling_params"
MESSAGE = f"{GRADER}.input.0"
SAMPLED = {**JUDGED, "sampling_params": {}}
WORDS = {"type": "input_text", "text": "x"}


@dataclass(frozen=True, slots=True)
class Said:
    """A value at a path of the body: it is taken, or refused by that path or one below it."""

    place: str
    value: Any
    ends: Literal["taken", "refused"]
    grader: dict[str, Any]


def taken(place: str, *values: Any, grader: dict[str, Any] = MULTI) -> list[Said]:
    return [Said(place, value, "taken", grader) for value in values]


def denied(place: str, *values: Any, grader: dict[str, Any] = MULTI) -> list[Said]:
    return [Said(place, value, "refused", grader) for value in values]


FIELDS: dict[str, list[Said]] = {
    "JobCreateParams.model": [*taken("model", "tests/tiny"), *denied("model", "/etc", None, 3)],
    "JobCreateParams.training_file": denied("training_file", "file-none", None),
    "JobCreateParams.hyperparameters": [
        *taken("hyperparameters", None, {}),
        *denied("hyperparameters", {"n_epochs": 2}),
    ],
    "JobCreateParams.integrations": [
        *taken("integrations", None, []),
        *denied("integrations", [{"type": "wandb", "wandb": {"project": "p"}}]),
    ],
    "JobCreateParams.metadata": [*taken("metadata", None, {}, {"k": "v"}), *denied("metadata", {"k": 1})],
    "JobCreateParams.method": denied("method", None),
    "JobCreateParams.seed": [*taken("seed", None, 7), *denied("seed", -1, "x")],
    "JobCreateParams.suffix": [*taken("suffix", None, "mine"), *denied("suffix", "two words")],
    "JobCreateParams.validation_file": [*taken("validation_file", None), *denied("validation_file", "file-none")],
    "Method.type": denied("method.type", "supervised", "dpo"),
    "Method.reinforcement": denied(REINFORCEMENT, None),
    "Method.supervised": [*taken("method.supervised", None), *denied("method.supervised", {})],
    "Method.dpo": [*taken("method.dpo", None), *denied("method.dpo", {"hyperparameters": {}})],
    "ReinforcementMethodParam.grader": [*taken(GRADER, SAYS, ALIKE, MULTI), *denied(GRADER, None, {})],
    "ReinforcementMethodParam.hyperparameters": [*taken(HYPER, {}), *denied(HYPER, {"epochs": 1})],
    "ReinforcementHyperparametersParam.batch_size": [
        *taken(f"{HYPER}.batch_size", "auto", 2),
        *denied(f"{HYPER}.batch_size", 0, "many"),
    ],
    "ReinforcementHyperparametersParam.compute_multiplier": [
        *taken(f"{HYPER}.compute_multiplier", None, "auto", 1, 1.0),
        *denied(f"{HYPER}.compute_multiplier", 2, 0.5, True),
    ],
    "ReinforcementHyperparametersParam.eval_interval": [
        *taken(f"{HYPER}.eval_interval", "auto", 2),
        *denied(f"{HYPER}.eval_interval", -1),
    ],
    "ReinforcementHyperparametersParam.eval_samples": [
        *taken(f"{HYPER}.eval_samples", "auto", 2),
        *denied(f"{HYPER}.eval_samples", 0),
    ],
    "ReinforcementHyperparametersParam.learning_rate_multiplier": [
        *taken(f"{HYPER}.learning_rate_multiplier", "auto", 0.5),
        *denied(f"{HYPER}.learning_rate_multiplier", 0),
    ],
    "ReinforcementHyperparametersParam.n_epochs": [
        *taken(f"{HYPER}.n_epochs", "auto", 2),
        *denied(f"{HYPER}.n_epochs", 0),
    ],
    "ReinforcementHyperparametersParam.reasoning_effort": [
        *taken(f"{HYPER}.reasoning_effort", None, "default"),
        *denied(f"{HYPER}.reasoning_effort", "low", "medium", "high"),
    ],
    "StringCheckGraderParam.type": denied(f"{GRADER}.type", "string", grader=SAYS),
    "StringCheckGraderParam.name": taken(f"{GRADER}.name", "n", grader=SAYS),
    "StringCheckGraderParam.input": [
        *taken(f"{GRADER}.input", "{{sample.output_json.a}}", grader=SAYS),
        *denied(f"{GRADER}.input", "{{row.a}}", grader=SAYS),
    ],
    "StringCheckGraderParam.reference": [
        *taken(f"{GRADER}.reference", "{{item.explanation}}", grader=SAYS),
        *denied(f"{GRADER}.reference", "{{item.none}}", grader=SAYS),
    ],
    "StringCheckGraderParam.operation": [
        *taken(f"{GRADER}.operation", "eq", "ne", "like", "ilike", grader=SAYS),
        *denied(f"{GRADER}.operation", "is", grader=SAYS),
    ],
    "TextSimilarityGraderParam.type": denied(f"{GRADER}.type", "similarity", grader=ALIKE),
    "TextSimilarityGraderParam.name": taken(f"{GRADER}.name", "n", grader=ALIKE),
    "TextSimilarityGraderParam.input": denied(f"{GRADER}.input", "{{row.a}}", grader=ALIKE),
    "TextSimilarityGraderParam.reference": denied(f"{GRADER}.reference", "{{item.none}}", grader=ALIKE),
    "TextSimilarityGraderParam.evaluation_metric": [
        *taken(f"{GRADER}.evaluation_metric", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", grader=ALIKE),
        *taken(f"{GRADER}.evaluation_metric", *(f"rouge_{kind}" for kind in "2345l"), grader=ALIKE),
        *denied(f"{GRADER}.evaluation_metric", "cosine", grader=ALIKE),
    ],
    "PythonGraderParam.type": denied(f"{GRADER}.type", "py", grader=PYTHON),
    "PythonGraderParam.name": taken(f"{GRADER}.name", "n", grader=PYTHON),
    "PythonGraderParam.source": denied(f"{GRADER}.source", "x = 1", grader=PYTHON),
    "PythonGraderParam.image_tag": [
        *taken(f"{GRADER}.image_tag", None, "2025-05-08", grader=PYTHON),
        *denied(f"{GRADER}.image_tag", "latest", "", grader=PYTHON),
    ],
    "MultiGraderParam.type": denied(f"{GRADER}.type", "several", grader=MULTI),
    "MultiGraderParam.name": taken(f"{GRADER}.name", "n", grader=MULTI),
    "MultiGraderParam.graders": [
        *taken(f"{GRADER}.graders", {"says": JUDGED, "alike": LABELS}, grader=MULTI),
        *denied(f"{GRADER}.graders", {}, {"says": MULTI, "alike": SAYS}, grader=MULTI),
    ],
    "MultiGraderParam.calculate_output": [
        *taken(f"{GRADER}.calculate_output", "min(says, alike)", grader=MULTI),
        *denied(f"{GRADER}.calculate_output", "says + none", grader=MULTI),
    ],
    "ScoreModelGraderParam.type": denied(f"{GRADER}.type", "score", grader=JUDGED),
    "ScoreModelGraderParam.name": taken(f"{GRADER}.name", "n", grader=JUDGED),
    "ScoreModelGraderParam.model": denied(f"{GRADER}.model", "", grader=JUDGED),
    "ScoreModelGraderParam.input": denied(f"{GRADER}.input", [], grader=JUDGED),
    "ScoreModelGraderParam.range": [
        *taken(f"{GRADER}.range", [0, 10], grader=JUDGED),
        *denied(f"{GRADER}.range", [1, 0], [1], grader=JUDGED),
    ],
    "ScoreModelGraderParam.sampling_params": [
        *taken(f"{GRADER}.sampling_params", None, {}, grader=JUDGED),
        *denied(f"{GRADER}.sampling_params", [], {"stream": True}, {"max_tokens": 3}, grader=JUDGED),
    ],
    "SamplingParams.max_completions_tokens": [
        *taken(f"{SAMPLING}.max_completions_tokens", None, 9, grader=SAMPLED),
        *denied(f"{SAMPLING}.max_completions_tokens", 0, True, grader=SAMPLED),
    ],
    "SamplingParams.reasoning_effort": [
        *taken(f"{SAMPLING}.reasoning_effort", None, "low", grader=SAMPLED),
        *denied(f"{SAMPLING}.reasoning_effort", "much", grader=SAMPLED),
    ],
    "SamplingParams.seed": [
        *taken(f"{SAMPLING}.seed", None, 1, grader=SAMPLED),
        *denied(f"{SAMPLING}.seed", True, 0.5, grader=SAMPLED),
    ],
    "SamplingParams.temperature": [
        *taken(f"{SAMPLING}.temperature", None, 0, 0.5, grader=SAMPLED),
        *denied(f"{SAMPLING}.temperature", 3, True, grader=SAMPLED),
    ],
    "SamplingParams.top_p": [
        *taken(f"{SAMPLING}.top_p", None, 0.5, grader=SAMPLED),
        *denied(f"{SAMPLING}.top_p", 2, grader=SAMPLED),
    ],
    "Input.type": [
        *taken(f"{MESSAGE}.type", "message", grader=JUDGED),
        *denied(f"{MESSAGE}.type", "file", grader=JUDGED),
    ],
    "Input.role": [
        *taken(f"{MESSAGE}.role", "system", "developer", "user", "assistant", grader=JUDGED),
        *denied(f"{MESSAGE}.role", "tool", grader=JUDGED),
    ],
    "Input.content": [
        *taken(f"{MESSAGE}.content", "x", {"type": "output_text", "text": "x"}, ["x", WORDS], grader=JUDGED),
        *denied(f"{MESSAGE}.content", 5, [5], {"type": "input_image", "image_url": "u"}, grader=JUDGED),
        *denied(f"{MESSAGE}.content", ["x", {"type": "input_audio", "input_audio": {}}], grader=JUDGED),
    ],
    "ResponseInputTextParam.text": denied(f"{MESSAGE}.content", {**WORDS, "text": "{{row.a}}"}, grader=JUDGED),
    "ResponseInputTextParam.type": denied(f"{MESSAGE}.content", [{**WORDS, "type": "word"}], grader=JUDGED),
    "ResponseInputTextParam.prompt_cache_breakpoint": denied(
        f"{MESSAGE}.content", [{**WORDS, "prompt_cache_breakpoint": {"mode": "explicit"}}], grader=JUDGED
    ),
    "LabelModelGraderParam.type": denied(f"{GRADER}.type", "label", grader=LABELS),
    "LabelModelGraderParam.name": taken(f"{GRADER}.name", "n", grader=LABELS),
    "LabelModelGraderParam.model": denied(f"{GRADER}.model", "", grader=LABELS),
    "LabelModelGraderParam.input": denied(f"{GRADER}.input", [], grader=LABELS),
    "LabelModelGraderParam.labels": denied(f"{GRADER}.labels", [], grader=LABELS),
    "LabelModelGraderParam.passing_labels": denied(f"{GRADER}.passing_labels", ["c"], grader=LABELS),
}
"""Field of the client's types -> what is said in it here, and how it ends."""
TYPES = (
    job_create_params.JobCreateParams,
    job_create_params.Method,
    reinforcement_method_param.ReinforcementMethodParam,
    reinforcement_hyperparameters_param.ReinforcementHyperparametersParam,
    string_check_grader_param.StringCheckGraderParam,
    text_similarity_grader_param.TextSimilarityGraderParam,
    python_grader_param.PythonGraderParam,
    multi_grader_param.MultiGraderParam,
    score_model_grader_param.ScoreModelGraderParam,
    score_model_grader_param.SamplingParams,
    score_model_grader_param.Input,
    response_input_text_param.ResponseInputTextParam,
    label_model_grader_param.LabelModelGraderParam,
)


def test_every_field_of_the_clients_types_is_in_the_table() -> None:
    assert set(FIELDS) == {f"{kind.__name__}.{field}" for kind in TYPES for field in kind.__annotations__}


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RLSD_JUDGE_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.usefixtures("judge")
def test_a_field_is_honoured_or_asks_for_nothing_or_is_refused_by_its_name(api: Api, rows: str, field: str) -> None:
    for said in FIELDS[field]:
        asked = body(rows, grader=deepcopy(said.grader))
        *outer, last = said.place.split(".")
        inner: Any = asked
        for name in outer:
            inner = inner[int(name) if isinstance(inner, list) else name]
        inner[last] = said.value
        if said.ends == "taken":
            assert api.openai.fine_tuning.jobs.create(**asked).status == "queued"
        else:
            with pytest.raises(openai.BadRequestError) as refusal:
                api.openai.fine_tuning.jobs.create(**asked)
            assert refusal.value.param is not None
            assert f"{refusal.value.param}.".startswith(f"{said.place}."), (refusal.value.param, refusal.value.message)
