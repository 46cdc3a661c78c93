"""Each page as a script: signed out, empty, with an error, filled."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from frontend.api import Client
from frontend.api.types import Json
from frontend.components.job_table import title_of
from frontend.session import state
from frontend.words import starter
from tests.frontend.api.test_api import GRADER, new_job
from tests.frontend.code_fields import code_field, typed
from tests.processes import ROOT, free_port

SCRIPT = ROOT / "frontend" / "navigation.py"
PAGES = ("home", "datasets", "verifiers", "new_job", "jobs", "job", "compare", "models", "playground", "settings")
IMPORT_PAGES = """
import importlib, json, sys
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

drawn = []
enqueue, block = DeltaGenerator._enqueue, DeltaGenerator._block

def seen_enqueue(self, kind, *arguments, **options):
    drawn.append(kind)
    return enqueue(self, kind, *arguments, **options)

def seen_block(self, *arguments, **options):
    drawn.append("container")
    return block(self, *arguments, **options)

DeltaGenerator._enqueue, DeltaGenerator._block = seen_enqueue, seen_block
found = {}
for page in sys.argv[1:]:
    module = importlib.import_module(f"frontend.app_pages.{page}.page")
    assert callable(module.page)
    found[page], drawn[:] = [*drawn], []
st.write("text")
st.container()
print(json.dumps({**found, "what is drawn": drawn}))
"""
"""Import the pages named as arguments, and print what each has drawn: outside a run, Streamlit refuses no drawing."""
IDS = {"datasets": "dataset", "verifiers": "verifier", "job": "job", "compare": "comparison", "models": "model"}


def opened(page: str, *, key: str | None, **address: str) -> AppTest:
    """Open a page as a viewer with this key."""
    app = AppTest.from_file(str(SCRIPT), default_timeout=30)
    if key is not None:
        app.session_state[state.KEY] = key
    app.run()
    for name, value in address.items():
        app.query_params[name] = value
    app.switch_page(f"app_pages/{page}/page.py")
    return app.run()


def words(app: AppTest) -> str:
    shown = [*app.title, *app.subheader, *app.markdown, *app.caption, *app.info, *app.error, *app.warning, *app.success]
    return "\n".join(str(element.value) for element in shown)


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Point `RLSD_API_URL` to the test API, or to an unused port."""
    url = request.getfixturevalue("api_url") if "key" in request.fixturenames else f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("RLSD_API_URL", url)


def test_importing_a_page_draws_nothing() -> None:
    """Its parts could otherwise be tested only as a whole page, by a viewer who has signed in."""
    importing = subprocess.run(
        [sys.executable, "-c", IMPORT_PAGES, *PAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(importing.stdout) == {page: [] for page in PAGES} | {"what is drawn": ["markdown", "container"]}


def test_a_page_is_a_function_that_draws_without_the_frame_around_it(client: Client, key: str) -> None:
    def draw() -> None:
        from frontend.app_pages.settings.page import page

        page()

    app = AppTest.from_function(draw, default_timeout=30)
    app.session_state[state.KEY] = key
    app.run()
    assert not app.exception
    assert app.title[0].value == "Settings"


@pytest.mark.parametrize("page", PAGES)
def test_when_signed_out_every_page_shows_only_the_sign_in_form(page: str) -> None:
    app = opened(page, key=None)
    assert not app.exception
    assert [field.label for field in app.text_input] == ["API key"]
    assert [title.value for title in app.title] == ["RLSD Workbench"]


@pytest.mark.parametrize("page", PAGES)
def test_without_an_api_every_page_reports_it_and_what_to_do(page: str) -> None:
    address = {IDS[page]: "some-id"} if page in IDS else {}
    app = opened(page, key="rlsd-any", **address)
    assert not app.exception
    assert "rlsd up" in app.error[0].value
    assert any(button.label == "Try again" for button in app.button)


@pytest.mark.parametrize("page", PAGES)
def test_a_key_that_is_no_longer_valid_leads_back_to_sign_in(page: str, key: str) -> None:
    address = {IDS[page]: "some-id"} if page in IDS else {}
    app = opened(page, key="rlsd-revoked", **address)
    assert not app.exception
    assert [field.label for field in app.text_input] == ["API key"]
    assert "no longer valid" in app.warning[0].value


def test_a_wrong_key_is_refused_and_a_right_one_signs_in(key: str) -> None:
    app = opened("home", key=None)
    app.text_input[0].input("rlsd-wrong")
    app.button[0].click().run()
    assert "not valid" in app.error[0].value
    app.text_input[0].input(key)
    app.button[0].click().run()
    assert app.title[0].value == "Home"
    assert app.session_state[state.KEY] == key


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("home", "Try an example"),
        ("datasets", "No datasets yet"),
        ("verifiers", "No verifiers yet"),
        ("new_job", "needs a dataset and a verifier"),
        ("jobs", "No jobs yet"),
        ("job", "No job is selected"),
    ],
)
def test_an_empty_page_explains_the_first_step(page: str, sentence: str, key: str) -> None:
    app = opened(page, key=key)
    assert not app.exception
    assert not app.error
    assert sentence in words(app)


@pytest.mark.parametrize("page", IDS)
def test_an_unknown_id_in_the_address_is_reported(page: str, key: str) -> None:
    app = opened(page, key=key, **{IDS[page]: "none-such"})
    assert not app.exception
    assert "none-such" in app.error[0].value


@pytest.mark.parametrize("page", IDS)
@pytest.mark.parametrize("crafted", ["../verifiers/{}", "a?b#c"])
def test_a_crafted_id_in_the_address_reaches_nothing_else(client: Client, key: str, page: str, crafted: str) -> None:
    saved = client.create_verifier(name="last word", grader=GRADER)
    app = opened(page, key=key, **{IDS[page]: crafted.format(saved["id"])})
    assert not app.exception
    assert app.error
    assert "Unknown request URL" not in app.error[0].value


def test_a_dataset_shows_its_rows_in_both_forms(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    app = opened("datasets", key=key, dataset=file["id"])
    assert not app.exception
    assert app.title[0].value == "rows.jsonl"
    assert "clerk" in [code.value for code in app.code]
    assert list(app.dataframe[0].value["answer"])[:2] == ["clerk", "warden"]


def test_editing_a_verifier_starts_from_the_saved_one_and_saves_a_version(client: Client, key: str) -> None:
    saved = client.create_verifier(name="last word", grader=GRADER)
    app = opened("verifiers", key=key, verifier=saved["id"])
    assert not app.exception
    assert code_field(app, "Pattern")["text"] == GRADER["pattern"]
    typed(app, "Pattern", r"(?P<answer>\w+)$")
    app.button(key="save_verifier").click().run()
    assert client.verifier(saved["id"])["grader"]["pattern"] == r"(?P<answer>\w+)$"


def test_a_version_that_somebody_else_saved_meanwhile_is_reported_and_the_draft_stays(client: Client, key: str) -> None:
    saved = client.create_verifier(name="last word", grader=GRADER)
    app = opened("verifiers", key=key, verifier=saved["id"])
    client.add_verifier_version(saved["id"], name="last word", grader={**GRADER, "pattern": "theirs"})
    typed(app, "Pattern", "mine")
    assert "Version 2 was saved meanwhile" in app.warning[0].value
    assert code_field(app, "Pattern")["text"] == "mine"
    assert app.button(key="save_verifier").label == "Save as version 3"
    app.button(key="show_newest").click().run()
    assert not app.warning
    assert code_field(app, "Pattern")["text"] == "theirs"


def test_an_invalid_pattern_is_reported_before_it_is_sent(key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    app.selectbox(key="start_from").select("#### at the end (GSM8K)").run()
    typed(app, "Pattern", "(")
    assert "not a valid pattern" in app.warning[0].value


def test_a_verifier_can_be_written_as_json_and_shown_as_a_form_again(client: Client, key: str) -> None:
    app = opened("verifiers", key=key, verifier="new")
    app.selectbox(key="start_from").select("Format plus answer").run()
    app.toggle[0].set_value(True).run()
    typed(app, "Fields", code_field(app, "Fields")["text"].replace("0.9 * right", "0.8 * right"))
    app.toggle[0].set_value(False).run()
    formula = next(field for field in app.text_input if field.label == "Formula")
    assert formula.value == "0.1 * form + 0.8 * right"
    app.text_input[0].input("form and answer").run()
    app.button(key="save_verifier").click().run()
    assert not app.exception
    (saved,) = client.verifiers()["data"]
    assert saved["grader"]["calculate_output"] == "0.1 * form + 0.8 * right"
    app.toggle[0].set_value(True).run()
    typed(app, "Fields", "{")
    assert "not valid JSON" in app.warning[0].value


def test_the_form_creates_a_job_from_the_choices(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("new_job", key=key)
    assert not app.exception
    app.number_input(key="main_max_steps").set_value(3).run()
    next(button for button in app.button if button.label == "Start training").click().run()
    [job] = client.jobs()["data"]
    assert (job["model"], job["x_progress"]["max_steps"]) == ("starter", 3)


def test_rows_without_solutions_block_the_preset_that_needs_them(client: Client, key: str, tmp_path: Path) -> None:
    path = tmp_path / "bare.jsonl"
    path.write_text("".join(f'{{"question": "a{n}?", "answer": "b"}}\n' for n in range(20)))
    with path.open("rb") as content:
        client.upload(content, filename="bare.jsonl", mapping=None)
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("new_job", key=key)
    assert not app.warning
    assert app.segmented_control(key="preset").value == "paper"
    app.segmented_control(key="preset").set_value("steady").run()
    assert "no worked solution" in app.warning[0].value
    assert next(button for button in app.button if button.label == "Start training").disabled


def started(app: AppTest) -> None:
    assert not app.exception
    assert not app.warning, [warning.value for warning in app.warning]
    next(button for button in app.button if button.label == "Start training").click().run()


def uploaded(client: Client, path: Path) -> None:
    with path.open("rb") as content:
        client.upload(content, filename=path.name, mapping=None)
    client.create_verifier(name="last word", grader=GRADER)


def test_settings_that_a_method_does_not_read_are_not_shown(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    shown = {element.key for element in (*app.selectbox, *app.number_input, *app.text_input)}
    assert {"set_hint", "set_lambda", "set_eps_w", "set_resample_rounds", "set_devices"} <= shown
    assert not {"set_contrast_tau", "set_teacher_model", "set_placebo_of", "set_sharding"} & shown
    app.selectbox(key="method").select("grpo").run()
    shown = {element.key for element in (*app.selectbox, *app.number_input, *app.text_input)}
    assert not {"set_hint", "set_lambda", "set_teacher"} & shown
    assert "every token of a completion gets the same credit" in words(app)
    started(app)
    [job] = client.jobs()["data"]
    assert client.job(job["id"])["method"]["reinforcement"]["x_rlsd"]["method"] == "grpo"


def test_a_setting_that_depends_on_another_appears_with_it_and_is_sent(
    client: Client, key: str, rows_file: Path
) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.selectbox(key="method").select("opsd").run()
    app.selectbox(key="set_hint").select("placebo").run()
    app.selectbox(key="set_placebo_of").select("solution").run()
    app.selectbox(key="set_divergence").select("jsd").run()
    app.number_input(key="set_divergence_beta").set_value(0.25).run()
    started(app)
    [job] = client.jobs()["data"]
    settings = client.job(job["id"])["method"]["reinforcement"]["x_rlsd"]
    assert (settings["hint"], settings["placebo_of"], settings["divergence"]) == ("placebo", "solution", "jsd")
    assert settings["divergence_beta"] == 0.25


@pytest.mark.parametrize(("hint", "sentence"), [("trajectory", "no trajectory"), ("privileged", "for the teacher")])
def test_rows_without_the_chosen_hint_block_the_job(
    client: Client, key: str, rows_file: Path, hint: str, sentence: str
) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.selectbox(key="set_hint").select(hint).run()
    assert "10 of 10 rows have" in app.warning[0].value
    assert sentence in app.warning[0].value
    app.selectbox(key="set_hint").select("sibling").run()
    started(app)
    assert len(client.jobs()["data"]) == 1


def test_a_larger_teacher_model_must_be_entered(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.selectbox(key="method").select("opd").run()
    assert "larger teacher model" in app.warning[0].value
    app.text_input(key="set_teacher_model").input("starter").run()
    started(app)
    assert len(client.jobs()["data"]) == 1


def test_a_job_that_paused_by_itself_shows_the_reason(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    fault = {"code": "no_signal", "message": "Paused: nothing to learn.", "param": "x_rlsd.max_dead_steps"}
    with transaction() as session:
        session.execute(update(Job).values(state="paused", control_signal="pause", error=fault))
    app = opened("job", key=key, job=job_id)
    assert not app.exception
    assert "nothing to learn" in app.warning[0].value
    assert "Pause after steps without signal" in app.warning[0].value
    app.button(key="resume").click().run()
    assert not app.warning


def test_a_waiting_job_can_be_paused_resumed_and_cancelled(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    app = opened("job", key=key, job=job_id)
    assert not app.exception
    app.button(key="pause").click().run()
    assert client.job(job_id)["status"] == "paused"
    app.button(key="resume").click().run()
    assert client.job(job_id)["status"] == "queued"
    app.button(key="cancel").click().run()
    assert client.job(job_id)["status"] == "cancelled"
    assert "The job was cancelled" in words(app)


def test_a_running_job_shows_at_once_that_it_will_be_cancelled(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    with transaction() as session:
        session.execute(update(Job).values(state="running", started_at=utc_now()))
    app = opened("job", key=key, job=job_id)
    app.button(key="cancel").click().run()
    assert client.job(job_id)["status"] == "running"
    assert "Ends after the current step" in words(app)
    assert not {"cancel", "pause"} & {button.key for button in app.button}


def test_the_browsers_title_names_the_page_and_what_it_shows(
    client: Client, key: str, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    configure = st.set_page_config

    def seen(**given: Any) -> None:
        titles.append(given["page_title"])
        configure(**given)

    monkeypatch.setattr(st, "set_page_config", seen)
    opened("jobs", key=key)
    assert titles[-1] == "Jobs · RLSD Workbench"
    job = client.job(new_job(client, rows_file))
    opened("job", key=key, job=job["id"])
    assert titles[-1] == f"{title_of(job)} · RLSD Workbench"
    opened("datasets", key=key, dataset=job["training_file"])
    assert titles[-1] == f"{client.files()['data'][0]['filename']} · RLSD Workbench"


def test_a_jobs_page_marks_jobs_in_the_menu(client: Client, key: str, rows_file: Path) -> None:
    def marked(app: AppTest) -> bool:
        return any('[href$="/jobs"]' in element.proto.body for element in app.get("html"))

    assert marked(opened("job", key=key, job=new_job(client, rows_file)))
    assert not marked(opened("models", key=key))


def test_jobs_are_listed_and_linked(client: Client, key: str, rows_file: Path) -> None:
    new_job(client, rows_file)
    for page in ("home", "jobs"):
        app = opened(page, key=key)
        assert not app.exception
        assert "starter · RLSD · created" in words(app)


def test_home_ignores_what_the_tour_left(client: Client, key: str, rows_file: Path) -> None:
    def badges() -> list[str]:
        return re.findall(r":(\w+)-badge\[", "\n".join(text.value for text in opened("home", key=key).markdown))[:4]

    with rows_file.open("rb") as content:
        client.upload(content, filename=starter.TRAINING, mapping=None)
    client.create_verifier(name=starter.VERIFIER, grader=GRADER)
    assert badges() == ["primary", "gray", "gray", "gray"]
    uploaded(client, rows_file)
    client.create_verifier(name="mine", grader=GRADER)
    assert badges() == ["green", "green", "primary", "gray"]


HOSTILE = "<b>*x*</b>![p](http://h/p.png)"


def test_names_that_users_wrote_are_never_markup(client: Client, key: str, rows_file: Path) -> None:
    """A picture in a name would be fetched by every viewer's browser, and a link would look like the product's."""
    with rows_file.open("rb") as content:
        file = client.upload(content, filename=f"{HOSTILE}.jsonl".replace("/", "_"), mapping=None)
    verifier = client.create_verifier(name=HOSTILE, grader=GRADER)
    job: Json = {"model": "starter", "training_file": file["id"]}
    job["method"] = {"type": "reinforcement", "reinforcement": {"grader": GRADER, "x_rlsd": {"max_steps": 2}}}
    arms = [{"name": f"{HOSTILE} {method}", "x_rlsd": {"method": method}} for method in ("grpo", "rlsd")]
    made = client.create_comparison({"name": HOSTILE, "job": job, "arms": arms, "seeds": [0]})
    for page, address in (
        ("datasets", {}),
        ("datasets", {"dataset": file["id"]}),
        ("verifiers", {}),
        ("verifiers", {"verifier": verifier["id"]}),
        ("compare", {}),
        ("compare", {"comparison": made["id"]}),
        ("home", {}),
    ):
        app = opened(page, key=key, **address)
        assert not app.exception
        labels = [element.proto.label for element in (*app.button, *app.get("page_link"))]
        shown = [words(app), *labels]
        assert not [text for text in shown if "![p]" in text or "<b>" in text], (page, address)
