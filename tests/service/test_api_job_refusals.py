"""Rejected jobs over HTTP: detectable errors name their parameter and leave nothing behind."""

from typing import Any

import pytest

from backend.jobs.resolve import X_RLSD
from tests.service.conftest import EXACT, Api, answered, create_job, job_body, refused

REGEX = {"type": "regex", "pattern": r"(?P<answer>\d+)"}
HINT = "method.reinforcement.x_rlsd.hint"
REFUSED_MODELS = [
    "/etc/passwd",
    "./model",
    "../model",
    "~/model",
    "a/../../b",
    "a/b/c",
    "org/",
    "",
    "name with blanks",
    "ft:x",
]


@pytest.mark.parametrize("model", REFUSED_MODELS)
def test_a_model_is_a_listed_name_or_a_hub_id_and_never_a_folder(api: Api, model: str) -> None:
    error = refused(api.http.post("/v1/fine_tuning/jobs", json={**job_body("file-x"), "model": model}), status=400)
    assert error["param"] == "model"


def test_files_that_are_not_there_are_named_by_their_parameter(api: Api) -> None:
    for name in ("training_file", "validation_file"):
        body = {**job_body(api.dataset()), name: "file-none"}
        error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="file_not_found")
        assert error["param"] == name


def test_a_model_is_not_measured_on_its_training_file(api: Api) -> None:
    file_id = api.dataset()
    body = job_body(file_id, validation_file=file_id)
    assert refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)["param"] == "validation_file"


def test_a_validation_file_of_training_rows_alone_is_refused(api: Api) -> None:
    body = job_body(api.dataset(20), validation_file=api.dataset(10, first=5))
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="rows_shared")
    assert error["param"] == "validation_file"
    assert error["message"].startswith("Every row of the validation file")


def test_a_validation_file_with_one_row_of_its_own_is_refused(api: Api) -> None:
    body = job_body(api.dataset(20), validation_file=api.dataset(6, first=15))
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="too_few_rows")
    assert (error["param"], "has 1 row that is not also" in error["message"]) == ("validation_file", True)


@pytest.mark.parametrize(("training", "validation", "param"), [(2, None, "training_file"), (5, 1, "validation_file")])
def test_too_few_rows_to_hold_out_are_refused(api: Api, training: int, validation: int | None, param: str) -> None:
    body = job_body(api.dataset(training))
    if validation is not None:
        body["validation_file"] = api.dataset(validation, first=1000)
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="too_few_rows")
    assert error["param"] == param


def test_the_smallest_dataset_that_can_be_split_is_taken(api: Api) -> None:
    create_job(api, job_body(api.dataset(3)))


def test_components_are_normalised_apart_only_if_there_are_some(api: Api) -> None:
    body = job_body(api.dataset(), x_rlsd={"combine": "normalise"})
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)
    assert error["param"] == f"{X_RLSD}.combine"
    multi = {
        "type": "multi",
        "graders": {"exact": EXACT, "digits": REGEX},
        "calculate_output": "0.8*exact + 0.2*digits",
    }
    body["method"]["reinforcement"]["grader"] = multi
    create_job(api, body)
    multi["calculate_output"] = "max(exact, digits)"
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)
    assert "not 'max(exact, digits)'" in error["message"]


def test_too_few_held_out_questions_are_not_halved(api: Api) -> None:
    body = job_body(api.dataset(30), x_rlsd={"keep": "best", "eval_interval": 5, "held_out_share": 0.1})
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)
    assert error["param"] == f"{X_RLSD}.keep"
    assert "at least 4 are needed, and there are 3" in error["message"]
    body["method"]["reinforcement"]["x_rlsd"]["held_out_share"] = 0.2
    create_job(api, body)
    body["method"]["reinforcement"]["x_rlsd"] |= {"held_out_share": 0.13, "example_rows": list(range(5))}
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)
    assert "there are 3" in error["message"], "of the 25 rows that are not shown as examples"


def test_a_row_without_the_hint_is_named_by_its_line(api: Api) -> None:
    rows: list[dict[str, Any]] = [{"question": f"q{n}", "answer": "a", "solution": "s"} for n in range(5)]
    rows[3] = {"question": "q3", "answer": "a"}
    file_id = answered(api.upload(*rows))["id"]
    for x_rlsd in ({"hint": "solution"}, {"preset": "steady"}):
        body = job_body(file_id, x_rlsd=x_rlsd)
        error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="missing_hint")
        assert error["param"] == HINT
        assert "line 4 " in error["message"]
    create_job(api, job_body(file_id, x_rlsd={"hint": "answer"}))
    create_job(api, job_body(file_id, x_rlsd={"hint": "solution", "method": "grpo"}))


def test_every_kind_of_row_hint_is_required_in_all_rows(api: Api) -> None:
    whole = {"answer": "a", "solution": "s", "trajectory": "t", "teacher_prompt": "p"}
    columns = {"answer": "answer", "solution": "solution", "trajectory": "trajectory", "privileged": "teacher_prompt"}
    full = answered(api.upload(*({"question": f"q{n}", **whole} for n in range(5))))["id"]
    for hint, column in columns.items():
        create_job(api, job_body(full, x_rlsd={"hint": hint}))
        create_job(api, job_body(full, x_rlsd={"hint": "placebo", "placebo_of": hint}))
        if hint == "answer":
            continue  # a file without an answer in one row is refused at upload
        rows: list[dict[str, Any]] = [{"question": f"q{n}", **whole} for n in range(5)]
        del rows[2][column]
        lacking = answered(api.upload(*rows))["id"]
        for x_rlsd, param in (
            ({"hint": hint}, "hint"),
            ({"hint": "placebo", "placebo_of": hint}, "placebo_of"),
            ({"hint": hint, "method": "opsd"}, "hint"),
        ):
            body = job_body(lacking, x_rlsd=x_rlsd)
            error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="missing_hint")
            assert error["param"] == f"method.reinforcement.x_rlsd.{param}"
            assert "line 3 " in error["message"]
        silent = {"hint": hint, "method": "grpo_opsd", "alpha": 0}
        for x_rlsd in ({"hint": hint, "method": "grpo"}, {"hint": hint, "lambda": 0}, silent, {"hint": "sibling"}):
            create_job(api, job_body(lacking, x_rlsd=x_rlsd))


def test_the_hint_of_practice_is_required_in_all_rows(api: Api) -> None:
    rows: list[dict[str, Any]] = [{"question": f"q{n}", "answer": "a", "solution": "s"} for n in range(5)]
    del rows[3]["solution"]
    file_id = answered(api.upload(*rows))["id"]
    for practice, param in (({}, "hint"), ({"hint": "solution"}, "hint"), ({"hint": "placebo"}, "placebo_of")):
        body = job_body(file_id, x_rlsd={"method": "grpo", "practice": practice})
        error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="missing_hint")
        assert error["param"] == f"method.reinforcement.x_rlsd.practice.{param}"
        assert "row's worked solution, but line 4 of" in error["message"]
    for practice in ({"hint": "answer"}, {"hint": "placebo", "placebo_of": "answer"}):
        create_job(api, job_body(file_id, x_rlsd={"practice": practice}))


def test_a_larger_model_to_imitate_is_a_model_of_this_server_or_a_hub_id(api: Api) -> None:
    file_id, teacher_model = api.dataset(), "method.reinforcement.x_rlsd.teacher_model"
    job = create_job(api, job_body(file_id, x_rlsd={"method": "opd", "teacher_model": "starter"}))
    assert job["method"]["reinforcement"]["x_rlsd"]["teacher_model"] == "starter"
    for x_rlsd in ({"method": "opd", "teacher_model": "/etc"}, {"method": "opd"}, {"teacher_model": "starter"}):
        body = job_body(file_id, x_rlsd=x_rlsd)
        assert refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)["param"] == teacher_model


@pytest.mark.parametrize("method", [["rlsd"], {"a": 1}, 3, None])
def test_a_method_of_another_type_is_refused_and_breaks_nothing(api: Api, method: object) -> None:
    body = job_body(api.dataset(), x_rlsd={"method": method})
    assert refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)["param"].endswith("x_rlsd.method")


def test_an_explicit_hint_is_not_replaced_by_values_of_the_verifier(api: Api) -> None:
    rows = [{"messages": [{"role": "user", "content": "q"}], "low": n, "high": n} for n in range(5)]
    file_id = answered(api.upload(*rows))["id"]
    grader = {**EXACT, "reference": "{{item.low}}"}
    body = job_body(file_id, grader=grader, x_rlsd={"hint": "answer"})
    assert refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400)["param"] == HINT
    for x_rlsd in ({"method": "grpo"}, {"hint": "grader"}, {"hint": "placebo", "placebo_of": "grader"}):
        create_job(api, job_body(file_id, grader=grader, x_rlsd=x_rlsd))
    body = job_body(file_id, grader=REGEX, x_rlsd={"method": "grpo"})
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="missing_reference")
    assert error["param"] == "method.reinforcement.grader.reference"


@pytest.mark.parametrize(
    ("grader", "field"),
    [
        ({**EXACT, "reference": "{{item.nothing}}"}, "reference"),
        ({**EXACT, "input": "{{sample.output_json.x}} {{item.answer.deep}}"}, "input"),
        ({**REGEX, "reference": "{{item.nothing}}"}, "reference"),
        ({**REGEX, "pattern": "("}, "pattern"),
        ({"type": "string_check"}, "input"),
        ({"type": "score_model"}, "type"),
        ({"type": "saved", "id": "ver-none"}, "id"),
        ({"type": "saved"}, "id"),
        ({"type": "saved", "id": "ver-none", "version": 0}, "version"),
        ({"type": "saved", "id": "ver-none", "revision": 1}, "revision"),
    ],
)
def test_a_grader_that_cannot_work_on_these_rows_is_refused(api: Api, grader: dict[str, Any], field: str) -> None:
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=job_body(api.dataset(), grader=grader)), status=400)
    assert error["param"] == f"method.reinforcement.grader.{field}"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"hyperparameters": {"n_epochs": 0}}, "method.reinforcement.hyperparameters.n_epochs"),
        ({"hyperparameters": {"reasoning_effort": "high"}}, "method.reinforcement.hyperparameters.reasoning_effort"),
        ({"hyperparameters": {"compute_multiplier": 2}}, "method.reinforcement.hyperparameters.compute_multiplier"),
        ({"x_rlsd": {"lamda": 1}}, "method.reinforcement.x_rlsd.lamda"),
        ({"x_rlsd": {"lambda": 2}}, "method.reinforcement.x_rlsd.lambda"),
        ({"x_rlsd": {"lora": {"r": 0}}}, "method.reinforcement.x_rlsd.lora.r"),
        ({"x_rlsd": {"preset": "best"}}, "method.reinforcement.x_rlsd.preset"),
        ({"x_rlsd": {"batch_size": 3}, "hyperparameters": {"batch_size": 4}}, "method.reinforcement.x_rlsd.batch_size"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"hyperparameter": {"n_epochs": 1}}, "hyperparameter"),
        ({"suffix": "a b"}, "suffix"),
        ({"suffix": "a" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"x_rlsd": {"max_steps": True}}, "method.reinforcement.x_rlsd.max_steps"),
        ({"x_rlsd": {"eps_w": [True, 0.2]}}, "method.reinforcement.x_rlsd.eps_w"),
        ({"x_rlsd": {"lora": {"r": True}}}, "method.reinforcement.x_rlsd.lora.r"),
        ({"hyperparameters": {"n_epochs": True}}, "method.reinforcement.hyperparameters.n_epochs"),
        ({"seed": True}, "seed"),
        ({"x_rlsd": {"batch_size": 19}}, "method.reinforcement.x_rlsd.batch_size"),
        ({"hyperparameters": {"batch_size": 19}}, "method.reinforcement.hyperparameters.batch_size"),
        ({"x_rlsd": {"max_completion_tokens": 1024}}, "method.reinforcement.x_rlsd.max_completion_tokens"),
        ({"x_rlsd": {"lora": {"target_modules": ["q_proj", "c_attn"]}}}, f"{X_RLSD}.lora.target_modules"),
        ({"x_rlsd": {"lora": {"target_modules": []}}}, f"{X_RLSD}.lora.target_modules"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(api: Api, changes: dict[str, Any], param: str) -> None:
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=job_body(api.dataset(), **changes)), status=400)
    assert error["param"] == param


def test_an_unknown_parameter_is_refused_alike_at_every_level(api: Api) -> None:
    file = api.dataset()
    for where, changes in (("hyperparameter", {"hyperparameter": 1}), (f"{X_RLSD}.lamda", {"x_rlsd": {"lamda": 1}})):
        response = api.http.post("/v1/fine_tuning/jobs", json=job_body(file, **changes))
        error = refused(response, status=400, code="unknown_parameter")
        assert (error["param"], error["message"]) == (where, f"Unknown parameter: '{where}'.")
