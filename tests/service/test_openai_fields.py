"""Every field of the official client's types for a job is supported, accepted if it has no effect, or refused."""

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
from tests.service.openai_bodies import CONTAINS, JUDGED, LABELS, MULTI, PYTHON, ROWS, SIMILARITY, body


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
class FieldValue:
    """A value at a path of the body that is accepted, or refused naming that path or one below it."""

    path: str
    value: Any
    expected: Literal["accepted", "refused"]
    grader: dict[str, Any]


def accepted(path: str, *values: Any, grader: dict[str, Any] = MULTI) -> list[FieldValue]:
    return [FieldValue(path, value, "accepted", grader) for value in values]


def rejected(path: str, *values: Any, grader: dict[str, Any] = MULTI) -> list[FieldValue]:
    return [FieldValue(path, value, "refused", grader) for value in values]


FIELDS: dict[str, list[FieldValue]] = {
    "JobCreateParams.model": [*accepted("model", "tests/tiny"), *rejected("model", "/etc", None, 3)],
    "JobCreateParams.training_file": rejected("training_file", "file-none", None),
    "JobCreateParams.hyperparameters": [
        *accepted("hyperparameters", None, {}),
        *rejected("hyperparameters", {"n_epochs": 2}),
    ],
    "JobCreateParams.integrations": [
        *accepted("integrations", None, []),
        *rejected("integrations", [{"type": "wandb", "wandb": {"project": "p"}}]),
    ],
    "JobCreateParams.metadata": [*accepted("metadata", None, {}, {"k": "v"}), *rejected("metadata", {"k": 1})],
    "JobCreateParams.method": rejected("method", None),
    "JobCreateParams.seed": [*accepted("seed", None, 7), *rejected("seed", -1, "x")],
    "JobCreateParams.suffix": [*accepted("suffix", None, "mine"), *rejected("suffix", "two words")],
    "JobCreateParams.validation_file": [*accepted("validation_file", None), *rejected("validation_file", "file-none")],
    "Method.type": rejected("method.type", "supervised", "dpo"),
    "Method.reinforcement": rejected(REINFORCEMENT, None),
    "Method.supervised": [*accepted("method.supervised", None), *rejected("method.supervised", {})],
    "Method.dpo": [*accepted("method.dpo", None), *rejected("method.dpo", {"hyperparameters": {}})],
    "ReinforcementMethodParam.grader": [*accepted(GRADER, CONTAINS, SIMILARITY, MULTI), *rejected(GRADER, None, {})],
    "ReinforcementMethodParam.hyperparameters": [*accepted(HYPER, {}), *rejected(HYPER, {"epochs": 1})],
    "ReinforcementHyperparametersParam.batch_size": [
        *accepted(f"{HYPER}.batch_size", "auto", 2),
        *rejected(f"{HYPER}.batch_size", 0, "many"),
    ],
    "ReinforcementHyperparametersParam.compute_multiplier": [
        *accepted(f"{HYPER}.compute_multiplier", None, "auto", 1, 1.0),
        *rejected(f"{HYPER}.compute_multiplier", 2, 0.5, True),
    ],
    "ReinforcementHyperparametersParam.eval_interval": [
        *accepted(f"{HYPER}.eval_interval", "auto", 2),
        *rejected(f"{HYPER}.eval_interval", -1),
    ],
    "ReinforcementHyperparametersParam.eval_samples": [
        *accepted(f"{HYPER}.eval_samples", "auto", 2),
        *rejected(f"{HYPER}.eval_samples", 0),
    ],
    "ReinforcementHyperparametersParam.learning_rate_multiplier": [
        *accepted(f"{HYPER}.learning_rate_multiplier", "auto", 0.5),
        *rejected(f"{HYPER}.learning_rate_multiplier", 0),
    ],
    "ReinforcementHyperparametersParam.n_epochs": [
        *accepted(f"{HYPER}.n_epochs", "auto", 2),
        *rejected(f"{HYPER}.n_epochs", 0),
    ],
    "ReinforcementHyperparametersParam.reasoning_effort": [
        *accepted(f"{HYPER}.reasoning_effort", None, "default"),
        *rejected(f"{HYPER}.reasoning_effort", "low", "medium", "high"),
    ],
    "StringCheckGraderParam.type": rejected(f"{GRADER}.type", "string", grader=CONTAINS),
    "StringCheckGraderParam.name": accepted(f"{GRADER}.name", "n", grader=CONTAINS),
    "StringCheckGraderParam.input": [
        *accepted(f"{GRADER}.input", "{{sample.output_json.a}}", grader=CONTAINS),
        *rejected(f"{GRADER}.input", "{{row.a}}", grader=CONTAINS),
    ],
    "StringCheckGraderParam.reference": [
        *accepted(f"{GRADER}.reference", "{{item.explanation}}", grader=CONTAINS),
        *rejected(f"{GRADER}.reference", "{{item.none}}", grader=CONTAINS),
    ],
    "StringCheckGraderParam.operation": [
        *accepted(f"{GRADER}.operation", "eq", "ne", "like", "ilike", grader=CONTAINS),
        *rejected(f"{GRADER}.operation", "is", grader=CONTAINS),
    ],
    "TextSimilarityGraderParam.type": rejected(f"{GRADER}.type", "similarity", grader=SIMILARITY),
    "TextSimilarityGraderParam.name": accepted(f"{GRADER}.name", "n", grader=SIMILARITY),
    "TextSimilarityGraderParam.input": rejected(f"{GRADER}.input", "{{row.a}}", grader=SIMILARITY),
    "TextSimilarityGraderParam.reference": rejected(f"{GRADER}.reference", "{{item.none}}", grader=SIMILARITY),
    "TextSimilarityGraderParam.evaluation_metric": [
        *accepted(f"{GRADER}.evaluation_metric", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", grader=SIMILARITY),
        *accepted(f"{GRADER}.evaluation_metric", *(f"rouge_{kind}" for kind in "2345l"), grader=SIMILARITY),
        *rejected(f"{GRADER}.evaluation_metric", "cosine", grader=SIMILARITY),
    ],
    "PythonGraderParam.type": rejected(f"{GRADER}.type", "py", grader=PYTHON),
    "PythonGraderParam.name": accepted(f"{GRADER}.name", "n", grader=PYTHON),
    "PythonGraderParam.source": rejected(f"{GRADER}.source", "x = 1", grader=PYTHON),
    "PythonGraderParam.image_tag": [
        *accepted(f"{GRADER}.image_tag", None, "2025-05-08", grader=PYTHON),
        *rejected(f"{GRADER}.image_tag", "latest", "", grader=PYTHON),
    ],
    "MultiGraderParam.type": rejected(f"{GRADER}.type", "several", grader=MULTI),
    "MultiGraderParam.name": accepted(f"{GRADER}.name", "n", grader=MULTI),
    "MultiGraderParam.graders": [
        *accepted(f"{GRADER}.graders", {"says": JUDGED, "alike": LABELS}, grader=MULTI),
        *rejected(f"{GRADER}.graders", {}, {"says": MULTI, "alike": CONTAINS}, grader=MULTI),
    ],
    "MultiGraderParam.calculate_output": [
        *accepted(f"{GRADER}.calculate_output", "min(says, alike)", grader=MULTI),
        *rejected(f"{GRADER}.calculate_output", "says + none", grader=MULTI),
    ],
    "ScoreModelGraderParam.type": rejected(f"{GRADER}.type", "score", grader=JUDGED),
    "ScoreModelGraderParam.name": accepted(f"{GRADER}.name", "n", grader=JUDGED),
    "ScoreModelGraderParam.model": rejected(f"{GRADER}.model", "", grader=JUDGED),
    "ScoreModelGraderParam.input": rejected(f"{GRADER}.input", [], grader=JUDGED),
    "ScoreModelGraderParam.range": [
        *accepted(f"{GRADER}.range", [0, 10], grader=JUDGED),
        *rejected(f"{GRADER}.range", [1, 0], [1], grader=JUDGED),
    ],
    "ScoreModelGraderParam.sampling_params": [
        *accepted(f"{GRADER}.sampling_params", None, {}, grader=JUDGED),
        *rejected(f"{GRADER}.sampling_params", [], {"stream": True}, {"max_tokens": 3}, grader=JUDGED),
    ],
    "SamplingParams.max_completions_tokens": [
        *accepted(f"{SAMPLING}.max_completions_tokens", None, 9, grader=SAMPLED),
        *rejected(f"{SAMPLING}.max_completions_tokens", 0, True, grader=SAMPLED),
    ],
    "SamplingParams.reasoning_effort": [
        *accepted(f"{SAMPLING}.reasoning_effort", None, "low", grader=SAMPLED),
        *rejected(f"{SAMPLING}.reasoning_effort", "much", grader=SAMPLED),
    ],
    "SamplingParams.seed": [
        *accepted(f"{SAMPLING}.seed", None, 1, grader=SAMPLED),
        *rejected(f"{SAMPLING}.seed", True, 0.5, grader=SAMPLED),
    ],
    "SamplingParams.temperature": [
        *accepted(f"{SAMPLING}.temperature", None, 0, 0.5, grader=SAMPLED),
        *rejected(f"{SAMPLING}.temperature", 3, True, grader=SAMPLED),
    ],
    "SamplingParams.top_p": [
        *accepted(f"{SAMPLING}.top_p", None, 0.5, grader=SAMPLED),
        *rejected(f"{SAMPLING}.top_p", 2, grader=SAMPLED),
    ],
    "Input.type": [
        *accepted(f"{MESSAGE}.type", "message", grader=JUDGED),
        *rejected(f"{MESSAGE}.type", "file", grader=JUDGED),
    ],
    "Input.role": [
        *accepted(f"{MESSAGE}.role", "system", "developer", "user", "assistant", grader=JUDGED),
        *rejected(f"{MESSAGE}.role", "tool", grader=JUDGED),
    ],
    "Input.content": [
        *accepted(f"{MESSAGE}.content", "x", {"type": "output_text", "text": "x"}, ["x", WORDS], grader=JUDGED),
        *rejected(f"{MESSAGE}.content", 5, [5], {"type": "input_image", "image_url": "u"}, grader=JUDGED),
        *rejected(f"{MESSAGE}.content", ["x", {"type": "input_audio", "input_audio": {}}], grader=JUDGED),
    ],
    "ResponseInputTextParam.text": rejected(f"{MESSAGE}.content", {**WORDS, "text": "{{row.a}}"}, grader=JUDGED),
    "ResponseInputTextParam.type": rejected(f"{MESSAGE}.content", [{**WORDS, "type": "word"}], grader=JUDGED),
    "ResponseInputTextParam.prompt_cache_breakpoint": rejected(
        f"{MESSAGE}.content", [{**WORDS, "prompt_cache_breakpoint": {"mode": "explicit"}}], grader=JUDGED
    ),
    "LabelModelGraderParam.type": rejected(f"{GRADER}.type", "label", grader=LABELS),
    "LabelModelGraderParam.name": accepted(f"{GRADER}.name", "n", grader=LABELS),
    "LabelModelGraderParam.model": rejected(f"{GRADER}.model", "", grader=LABELS),
    "LabelModelGraderParam.input": rejected(f"{GRADER}.input", [], grader=LABELS),
    "LabelModelGraderParam.labels": rejected(f"{GRADER}.labels", [], grader=LABELS),
    "LabelModelGraderParam.passing_labels": rejected(f"{GRADER}.passing_labels", ["c"], grader=LABELS),
}
"""Field of the client's types -> values to send, and whether they are accepted."""
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
    for field_value in FIELDS[field]:
        request = body(rows, grader=deepcopy(field_value.grader))
        *outer, last = field_value.path.split(".")
        inner: Any = request
        for name in outer:
            inner = inner[int(name) if isinstance(inner, list) else name]
        inner[last] = field_value.value
        if field_value.expected == "accepted":
            assert api.openai.fine_tuning.jobs.create(**request).status == "queued"
        else:
            with pytest.raises(openai.BadRequestError) as refusal:
                api.openai.fine_tuning.jobs.create(**request)
            assert refusal.value.param is not None
            assert f"{refusal.value.param}.".startswith(f"{field_value.path}."), (
                refusal.value.param,
                refusal.value.message,
            )
