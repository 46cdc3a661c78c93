"""The client against the real API."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from frontend.api import ApiError, Client, new_connections
from frontend.components.job_feed import JobFeed
from frontend.components.setting_fields import pair
from frontend.words import job_settings
from frontend.words.job_settings import request_body
from tests.processes import free_port

GRADER = {"type": "regex", "pattern": r"(?P<answer>\w+)\W*$"}


def new_job(client: Client, rows_file: Path) -> str:
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    verifier = client.create_verifier(name="last word", grader=GRADER)
    body = request_body(
        dataset=file["id"],
        validation=None,
        grader={"type": "saved", "id": verifier["id"]},
        model="starter",
        name="first-1",
        seed=7,
        x_rlsd={"preset": "paper", "max_steps": 2},
    )
    return client.create_job(body)["id"]


def test_an_error_has_the_apis_own_sentence(client: Client) -> None:
    with pytest.raises(ApiError, match="file-none") as caught:
        client.file("file-none")
    assert caught.value.status == 404
    assert not caught.value.signed_out


def test_an_unknown_key_is_recognised(api_url: str, key: str) -> None:
    with new_connections(api_url) as connections, pytest.raises(ApiError) as caught:
        Client(connections, key="rlsd-wrong").models()
    assert caught.value.signed_out


def test_an_api_that_does_not_respond_is_an_error_with_a_sentence() -> None:
    with new_connections(f"http://127.0.0.1:{free_port()}") as connections, pytest.raises(ApiError) as caught:
        Client(connections, key="rlsd-any").models()
    assert caught.value.status == 0
    assert "rlsd up" in caught.value.message


def test_a_bad_line_is_named_and_nothing_is_stored(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "a", "answer": "b"}\n{"question": \n')
    with path.open("rb") as content, pytest.raises(ApiError, match="line 2"):
        client.upload(content, filename="bad.jsonl", mapping=None)
    assert client.files()["data"] == []


def test_an_uploaded_file_is_returned_in_normal_form_and_unchanged(client: Client, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    rows = client.rows_from(file["id"], 0, limit=10)
    assert [row["reference"]["answer"] for row in rows] == ["clerk", "warden", *["planner"] * 8]
    assert rows[0]["item"]["question"] == "Who approves a gasket?"
    assert client.file_report(file["id"])["good"] == 10
    assert client.file_content(file["id"]) == rows_file.read_bytes()
    client.delete_file(file["id"])
    assert client.files()["data"] == []


def test_saving_a_verifier_again_adds_a_version(client: Client) -> None:
    first = client.create_verifier(name="last word", grader=GRADER)
    second = client.add_verifier_version(first["id"], name="last word", grader={**GRADER, "flags": "i"})
    assert (first["version"], second["version"]) == (1, 2)
    assert client.verifier(first["id"])["grader"]["flags"] == "i"
    assert sorted(v["version"] for v in client.verifier_versions(first["id"])["data"]) == [1, 2]


def test_the_api_describes_every_setting_that_the_form_offers(client: Client) -> None:
    schemas = client.settings_schemas()
    schema = job_settings.inlined(schemas, "RlsdSettings")
    unoffered = {"preset", "method", "example_rows"}
    assert set(job_settings.OFFERED) | set(job_settings.NESTED) == set(schema["properties"]) - unoffered
    for name, section in job_settings.NESTED.items():
        inner = schemas[job_settings.SCHEMAS[name]]["properties"]
        assert {setting.name for setting in section} <= set(inner)
        for setting in section:
            assert job_settings.facts_of({"properties": inner}, setting.name).description, setting.name
    for setting in job_settings.OFFERED.values():
        about = job_settings.facts_of(schema, setting.name)
        assert about.description, setting.name
        assert bool(about.choices) == (setting.kind == "choice"), setting.name


def test_a_methods_form_has_its_own_and_the_common_settings(client: Client) -> None:
    schema = job_settings.inlined(client.settings_schemas(), "RlsdSettings")
    facts = job_settings.methods(schema)

    def names(method: str) -> set[str]:
        sections = job_settings.SECTIONS.values()
        return {
            s.name for part in sections for s in job_settings.settings_for(part, method=facts[method], schema=schema)
        }

    assert names("grpo") < names("rlsd") < names("cepo")
    assert names("rlsd") - names("grpo") >= {"hint", "lambda", "eps_w", "teacher", "first_error"}
    assert names("cepo") - names("rlsd") == {"contrast_samples"}
    assert {"teacher_model", "divergence"} <= names("opd")
    assert "hint" not in names("opd")
    assert {"scale_rewards", "resample_rounds", "eps_high", "devices", "max_dead_steps"} <= names("grpo")


@pytest.mark.parametrize(
    ("method", "preset", "settings", "hint"),
    [
        ("rlsd", "paper", {}, "answer"),
        ("rlsd", "steady", {}, "solution"),
        ("rlsd", "steady", {"hint": "trajectory"}, "trajectory"),
        ("rlsd", "paper", {"hint": "sibling"}, None),
        ("rlsd", "paper", {"hint": "placebo"}, "answer"),
        ("rlsd", "steady", {"hint": "placebo"}, "solution"),
        ("opsd", "paper", {"hint": "placebo", "placebo_of": "privileged"}, "privileged"),
        ("rlsd", "steady", {"lambda": 0}, None),
        ("opsd", "steady", {"lambda": 0}, "solution"),
        ("grpo_opsd", "paper", {"alpha": 0}, None),
        ("opsd", "paper", {"alpha": 0}, "answer"),
        ("grpo", "paper", {}, None),
        ("sdpo", "steady", {}, None),
        ("rlcsd", "paper", {}, None),
        ("opd", "paper", {}, None),
    ],
)
def test_which_hint_every_row_must_have(
    client: Client, method: str, preset: str, settings: dict[str, object], hint: str | None
) -> None:
    schema = job_settings.inlined(client.settings_schemas(), "RlsdSettings")
    facts, defaults = job_settings.methods(schema)[method], job_settings.presets(schema)[preset]
    assert job_settings.hint_in_rows(settings, method=facts, preset=defaults, schema=schema) == hint


def test_rows_lack_no_hint_if_no_row_has_an_answer_and_the_api_chooses_the_hint() -> None:
    report: Any = {"good": 5, "with_answer": 0, "with_solution": 2}
    assert job_settings.rows_without("answer", report, settings={}) == 0
    assert job_settings.rows_without("answer", report, settings={"hint": "answer"}) == 5
    assert job_settings.rows_without("solution", report | {"with_answer": 5}, settings={}) == 3
    assert job_settings.rows_without(None, report, settings={}) == 0


def test_a_setting_that_the_api_names_has_a_label() -> None:
    assert job_settings.label_of("method.reinforcement.x_rlsd.micro_batch_tokens") == "Tokens per micro-batch"
    assert job_settings.label_of("method.reinforcement.x_rlsd.hint") == "Hint for the teacher"
    assert job_settings.label_of("method.reinforcement.x_rlsd.practice.hint") == "Hint in the prompt"
    assert job_settings.label_of("lora.alpha") == "Scale"
    assert job_settings.label_of("lora.target_modules") is job_settings.label_of("model") is None
    assert job_settings.label_of(None) is None


def test_two_numbers_or_one_for_both() -> None:
    assert pair("0.8, 4") == [0.8, 4.0]
    assert pair("0.2") == [0.2, 0.2]
    assert pair("wide") == "wide"


def test_a_waiting_job_costs_one_request_per_tick(api_url: str, client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    sent: list[str] = []
    hooks = {"request": [lambda request: sent.append(request.url.path)]}
    with httpx.Client(base_url=api_url, event_hooks=hooks) as connections:
        watching = Client(connections, key=key)
        feed = JobFeed.open(watching, job_id)
        sent.clear()
        for _ in range(6):
            feed.tick(watching)
        assert len(sent) == 6
        client.control_job(job_id, "cancel")
        for _ in range(8):
            feed.tick(watching)
        assert feed.settled
        assert "cancelled" in feed.events[0]["message"]
        sent.clear()
        feed.tick(watching)
        assert sent == []


def test_a_new_job_waits_under_its_name(client: Client, rows_file: Path) -> None:
    job = client.job(new_job(client, rows_file))
    assert re.fullmatch(r"ftjob-\w+", job["id"])
    assert job["status"] == "queued"
    assert (job["x_progress"]["max_steps"], job["user_provided_suffix"]) == (2, "first-1")
