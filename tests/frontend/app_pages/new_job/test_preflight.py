"""The pre-flight and the teacher preview of a new job, with a real worker on the starter."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend import checks
from backend.core.checks import CheckKind
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs.checks import record
from backend.settings import settings
from frontend.api import Client
from frontend.app_pages.new_job.preflight import compared
from frontend.app_pages.new_job.preflight_report import histogram_table
from frontend.components.prompts import counts, marked
from tests.frontend.api.test_api import GRADER
from tests.frontend.test_pages import opened, words
from tests.processes import STARTER

REPORT = {"verdict": "pass", "summary": "There is something to learn.", "findings": []}


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "key" in request.fixturenames:
        monkeypatch.setenv("RLSD_API_URL", request.getfixturevalue("api_url"))


@pytest.fixture
def at_new_job(client: Client, key: str, tmp_path: Path) -> AppTest:
    """Open the page with the starter's rows and verifier, and short completions."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join((STARTER / "train.jsonl").read_bytes().splitlines(keepends=True)[:20]))
    with path.open("rb") as content:
        client.upload(content, filename="starter.jsonl", mapping=None)
    grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
    client.create_verifier(name="starter", grader=grader)
    app = opened("new_job", key=key)
    assert not app.exception
    app.segmented_control(key="preset").set_value("steady").run()
    app.number_input(key="main_max_completion_tokens").set_value(64).run()
    return app


def test_a_second_instruction_is_compared_with_that_of_the_form() -> None:
    trial = {"model": "m", "x_rlsd": {"instruction": "Add.", "max_steps": 2}}
    assert compared(trial, second="") == trial
    assert compared(trial, second="Sum.") == {
        "model": "m",
        "x_rlsd": {"max_steps": 2},
        "instructions": ["Add.", "Sum."],
    }
    assert compared({"x_rlsd": {}}, second="Sum.")["instructions"] == ["", "Sum."]


@pytest.mark.slow
def test_one_click_runs_the_pre_flight_and_the_report_is_shown(
    at_new_job: AppTest, client: Client, sample_worker: int
) -> None:
    app = at_new_job
    app.number_input(key="preflight_rows").set_value(4)
    app.number_input(key="preflight_samples").set_value(4)
    app.button(key="preflight_go").click().run()
    assert not app.exception
    assert not app.error
    assert app.button(key="preflight_go").disabled
    [check] = client.checks(kind="preflight")
    while client.check(check["id"])["status"] in ("queued", "running"):
        pass
    app.run()
    assert not app.exception
    assert "From 2 steps of the pre-flight on cpu" in words(app), "the estimate is of the same steps"
    report = client.check(check["id"])["result"]
    assert report is not None
    assert report["rows"] == 4
    assert [metric.label for metric in app.metric][:4] == [
        "Solve rate",
        "Mixed groups of 8",
        "Tokens per completion",
        "Training time",
    ]
    assert "hint “solution”" in words(app)
    banner = [*app.success, *app.warning, *app.error]
    assert report["summary"] in [shown.value for shown in banner]
    assert sorted(app.dataframe[0].value["row"]) == sorted(
        report["never_solved"] or [row["row"] for row in report["per_row"]]
    )
    app.number_input(key="main_max_steps").set_value(3).run()
    assert "of earlier settings" in words(app)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the API not wait for a worker."""
    monkeypatch.setenv("RLSD_CHECK_TIMEOUT_S", "0.1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_after_a_refresh_both_are_found_again_and_marked_as_of_earlier_settings(
    at_new_job: AppTest, client: Client, key: str, impatient: None
) -> None:
    """Without a worker, the checks stay queued."""
    at_new_job.button(key="preflight_go").click().run()
    [check] = client.checks(kind="preflight")
    assert check["asked"] is not None
    trial = {name: check["asked"][name] for name in ("model", "training_file", "grader", "x_rlsd")}
    other = client.create_verifier(name="other", grader=GRADER)
    client.preflight(trial | {"grader": {"type": "saved", "id": other["id"], "version": 1}})  # another verifier's
    client.teacher_preview(trial | {"row": 3})

    refreshed = opened("new_job", key=key)
    refreshed.selectbox(key="job_verifier").select(check["asked"]["grader"]["id"]).run()
    assert refreshed.button(key="preflight_go").disabled
    assert refreshed.button(key="preview_go").disabled
    assert words(refreshed).count("by you or another member of your project") == 2
    checks.carry_out(check["id"], handlers={"preflight": lambda *_: REPORT})
    finished = opened("new_job", key=key)
    assert REPORT["summary"] not in [shown.value for shown in finished.success]
    finished.selectbox(key="job_verifier").select(check["asked"]["grader"]["id"]).run()
    assert not finished.exception
    assert REPORT["summary"] in [shown.value for shown in finished.success]
    assert "of earlier settings" in words(finished)


def test_both_prompts_of_a_row_are_shown_side_by_side(at_new_job: AppTest, sample_worker: int) -> None:
    app = at_new_job
    app.number_input(key="preview_row").set_value(2)
    app.button(key="preview_go").click().run()
    assert not app.exception
    assert not app.error
    row = json.loads((STARTER / "train.jsonl").read_text().splitlines()[2])
    student, teacher = [element.proto.body for element in app.get("html") if 'class="matches"' in element.proto.body]
    assert row["messages"][0]["content"] in student
    assert "<mark>" not in student
    assert f"<mark>{row['solution']}</mark>" in teacher
    assert "tokens; the completion starts at position" in words(app)


def test_a_job_can_start_with_a_pre_flight(at_new_job: AppTest, client: Client) -> None:
    app = at_new_job
    app.checkbox(key="preflight_first").check().run()
    next(button for button in app.button if button.label == "Start training").click().run()
    [job] = client.get_json("/v1/fine_tuning/jobs")["data"]
    assert job["method"]["reinforcement"]["x_rlsd"]["preflight_rows"] == 16


def test_what_would_be_refused_is_shown_before_a_click(at_new_job: AppTest) -> None:
    app = at_new_job
    assert not app.button(key="preflight_go").disabled
    app.number_input(key="main_batch_size").set_value(0).run()
    assert app.button(key="preflight_go").disabled
    assert "Questions per step" in app.warning[0].value


def test_bars_are_named_by_their_rates_and_coloured_by_their_outcome() -> None:
    bars = [(0.0, 0.0), (0.0, 0.2), (0.2, 0.4), (1.0, 1.0)]
    table = histogram_table([{"low": low, "high": high, "rows": 1} for low, high in bars])
    assert [line["rate"] for line in table] == ["never", "0-20 %", "20-40 %", "always"]
    assert [line["teaches"] for line in table] == ["all wrong", "mixed", "mixed", "all right"]


def test_a_prompt_is_escaped_its_hint_marked_and_its_image_tokens_counted() -> None:
    text = "<|user|>" + "<|image_pad|>" * 12 + "a <b> & hint<|end|>"
    prompt = {"text": text, "hint_start": text.index("hint"), "hint_end": text.index("hint") + 4}
    shown = marked(prompt)
    assert "&lt;|image_pad|&gt; × 12 a &lt;b&gt; &amp; <mark>hint</mark>&lt;|end|&gt;" in shown
    assert marked({"text": "<script>"}) == '<div class="matches">&lt;script&gt;</div>'
    sight = {"tokens": 20, "images": 1, "image_tokens": 12, "completion_position": 13}
    assert counts(sight) == "20 tokens, of which 12 tokens for 1 image; the completion starts at position 13."


def report_with(*remedies: dict[str, object], rate: float) -> dict[str, object]:
    """A report of a pre-flight whose finding has these remedies."""
    finding = {"code": "nothing_solved", "level": "fail", "message": "None was right.", "remedies": list(remedies)}
    interval = {"mean": rate, "low": 0.0, "high": 1.0}
    return {
        "verdict": "fail",
        "summary": finding["message"],
        "findings": [finding],
        "group": 8,
        "solve_rate": interval,
        "mixed": {"share": interval, "how": "counted"},
        "completions": {"truncated": 0.0, "tokens_mean": 5.0, "tokens_max": 9},
        "histogram": [{"low": rate, "high": rate, "rows": 1}],
        "hint": None,
        "never_solved": [],
        "always_solved": [],
        "per_row": [],
        "time": {
            "steps": 2,
            "step_s": {"low": 1.0, "high": 2.0},
            "total_s": {"mean": 3.0, "low": 2.0, "high": 4.0},
            "step_measured": False,
            "leaves_out": "evaluations",
        },
    }


def test_a_remedy_fills_the_form_tests_again_and_shows_before_beside_after(
    at_new_job: AppTest, client: Client, impatient: None
) -> None:
    """Without a worker: the checks are ended by hand."""
    app = at_new_job
    app.button(key="preflight_go").click().run()
    [first] = client.checks(kind="preflight")
    changes = {
        "instruction": "Examples:\n\nQuestion: a\nb",
        "example_rows": [3],
        "warm_start": {"rows": 8, "target": "solution"},
        "practice": {},
    }
    offered = {"code": "warm_start", "title": "Imitate 8 rows first", "changes": {"x_rlsd": changes}}
    checks.carry_out(first["id"], handlers={"preflight": lambda *_: report_with(offered, rate=0.0)})
    app.run()
    assert not app.exception
    app.button(key="remedy_warm_start").click().run()
    assert not app.exception
    second, _ = client.checks(kind="preflight", limit=2)
    asked = client.check(second["id"])["asked"]
    assert asked is not None
    assert {name: asked["x_rlsd"][name] for name in changes} == changes
    checks.carry_out(second["id"], handlers={"preflight": lambda *_: report_with(rate=0.5)})
    app.run()
    assert [(metric.value, metric.delta) for metric in app.metric][:2] == [("50 %", "before: 0 %")] * 2
    assert "remedy_warm_start" not in {button.key for button in app.button}
    next(button for button in app.button if button.label == "Start training").click().run()
    [job] = client.jobs()["data"]
    requested = client.job(job["id"])["method"]["reinforcement"]["x_asked"]
    assert {name: requested[name] for name in changes} == changes
    events = client.get_json(f"/v1/fine_tuning/jobs/{job['id']}/events")["data"]
    [tried] = [event for event in events if event["code"] == "preflights"]
    assert [each["solve_rate"] for each in tried["data"]["preflights"]] == [0.0, 0.5]
    assert tried["data"]["preflights"][0]["other_settings"]["warm_start"]["rows"] == 0


def test_a_job_that_paused_offers_a_copy_with_a_remedy(at_new_job: AppTest, client: Client, key: str) -> None:
    next(button for button in at_new_job.button if button.label == "Start training").click().run()
    [job] = client.jobs()["data"]
    changes = {"model": "other", "method": {"reinforcement": {"x_rlsd": {"max_completion_tokens": 128}}}}
    with transaction() as session:
        failed = report_with({"code": "room", "title": "More room", "changes": changes}, rate=0.0)
        record(session, session.get_one(Job, job["id"]), check=CheckKind.PREFLIGHT, result=failed)
    page = opened("job", key=key, job=job["id"])
    [link] = [link for link in page.get("page_link") if link.proto.label == "New job: More room"]
    assert link.proto.query_string == f"from={job['id']}&remedy=room"
    copy = opened("new_job", key=key, **{"from": job["id"], "remedy": "room"})
    assert copy.number_input(key="main_max_completion_tokens").value == 128
