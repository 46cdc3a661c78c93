"""The form of a new job: training plans, comparisons, copying a job, blockers, the estimate."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Step
from frontend.api import Client
from frontend.app_pages.new_job import prefill
from frontend.components.choices import distinct_labels
from frontend.components.setting_fields import step_of
from frontend.words import starter, training_plans
from frontend.words.job_settings import allowed_name
from tests.frontend.api.test_api import GRADER, new_job
from tests.frontend.test_pages import opened, started, uploaded, words

STARTER = starter.usual_settings(starter.MODEL)


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_a_quick_look_is_proposed_and_steady_where_there_are_solutions(
    client: Client, key: str, rows_file: Path
) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    assert not app.exception
    assert app.radio(key="plan").value == "quick"
    assert app.segmented_control(key="preset").value == "steady"
    assert "no job with this model" in words(app)
    press(app, "Start training")
    [job] = client.jobs()["data"]
    requested = client.job(job["id"])["method"]["reinforcement"]["x_asked"]
    assert requested == {"preset": "steady", "method": "rlsd", **training_plans.PLANS["quick"].values, **STARTER}


def test_the_starter_comes_with_a_note_for_other_questions(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    assert "knows only the rule book of its own example" in words(app)
    with rows_file.open("rb") as content:
        client.upload(content, filename="train.jsonl", mapping=None)
    app = opened("new_job", key=key)
    app.selectbox(key="job_dataset").select(client.files()["data"][0]["id"]).run()
    assert "knows only the rule book of its own example" not in words(app)


def test_the_plus_button_changes_a_number_by_a_tenth_of_its_magnitude() -> None:
    assert [step_of(default) for default in (1e-4, 0.5, 5.0, 3, None, 0)] == pytest.approx(
        [1e-5, 0.01, 0.1, 0.1, 0.01, 0.01]
    )


def test_careful_runs_the_pre_flight_first_and_own_numbers_win(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.radio(key="plan").set_value("careful").run()
    app.number_input(key="main_max_steps").set_value(7).run()
    press(app, "Start training")
    [job] = client.jobs()["data"]
    requested = client.job(job["id"])["method"]["reinforcement"]["x_asked"]
    assert (requested["max_steps"], requested["eval_interval"], requested["preflight_rows"]) == (7, 50, 16)


def test_a_template_fills_the_instruction_and_the_one_that_fits_the_verifier_is_suggested(
    client: Client, key: str, rows_file: Path
) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    assert not any("(suggested)" in title for title in app.selectbox(key="told_template").options)
    choice = client.create_verifier(name="letters", grader={"type": "choice", "choices": ["A", "B", "C"]})
    app.run()
    app.selectbox(key="job_verifier").select(choice["id"]).run()
    assert app.selectbox(key="told_template").options[0] == "One of the choices (suggested)"
    app.selectbox(key="told_template").select("choice").run()
    assert not app.exception
    text = app.text_area(key="told_instruction").value
    assert text.endswith("on the last line: A, B, C.")
    app.text_area(key="told_instruction").input(f"  Be brief. {text} ").run()
    press(app, "Start training")
    [job] = client.jobs()["data"]
    assert client.job(job["id"])["method"]["reinforcement"]["x_rlsd"]["instruction"] == f"Be brief. {text}"
    again = opened("new_job", key=key, **{"from": job["id"]})
    assert again.text_area(key="told_instruction").value == f"Be brief. {text}"


def test_rows_as_examples_end_the_instruction_and_are_kept_in_a_copy(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.text_area(key="told_instruction").input("Name the role.").run()
    app.number_input(key="told_examples").set_value(2).run()
    assert not app.exception
    press(app, "Start training")
    [job] = client.jobs()["data"]
    asked = client.job(job["id"])["method"]["reinforcement"]["x_asked"]
    lines = [json.loads(line) for line in rows_file.read_text().splitlines()]
    shown = [f"Question: {lines[n]['question']}\n{lines[n]['solution']}" for n in asked["example_rows"]]
    assert asked["instruction"] == "\n\n".join(["Name the role.", "Examples:", *shown])
    assert len(shown) == 2
    again = opened("new_job", key=key, **{"from": job["id"]})
    press(again, "Start training")
    copies = [client.job(each["id"])["method"]["reinforcement"]["x_asked"] for each in client.jobs()["data"]]
    assert [copy["example_rows"] for copy in copies] == [asked["example_rows"]] * 2
    assert copies[0]["instruction"] == copies[1]["instruction"]


def test_a_comparison_starts_the_stated_number_of_jobs(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.radio(key="plan").set_value("compare").run()
    assert app.multiselect(key="arms").value == ["rlsd", "grpo", "sft"], "imitation, where rows have solutions"
    assert "9 jobs, one after the other" in words(app)
    app.multiselect(key="arms").set_value(["grpo"]).run()
    assert "two methods" in app.warning[0].value
    app.multiselect(key="arms").set_value(["grpo", "rlsd"]).run()
    app.number_input(key="arm_seeds").set_value(2).run()
    app.number_input(key="main_max_steps").set_value(3).run()
    press(app, "Start comparison")
    assert not app.error
    [comparison] = client.comparisons()["data"]
    assert comparison["name"] == "GRPO vs. RLSD on rows.jsonl"
    assert [(run["arm"], run["seed"]) for run in comparison["runs"]] == [
        ("GRPO", 0),
        ("RLSD", 0),
        ("GRPO", 1),
        ("RLSD", 1),
    ]


def test_imitation_is_compared_and_offered_only_where_rows_have_something_to_imitate(
    client: Client, key: str, rows_file: Path, tmp_path: Path
) -> None:
    uploaded(client, rows_file)
    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(f'{{"question": "{n} + {n}?", "answer": "{2 * n}"}}\n' for n in range(10)))
    with plain.open("rb") as content:
        client.upload(content, filename="plain.jsonl", mapping=None)
    app = opened("new_job", key=key)  # with the newest dataset
    app.radio(key="plan").set_value("compare").run()
    assert app.multiselect(key="arms").value == ["rlsd", "grpo"]
    app.radio(key="plan").set_value("quick").run()
    assert "0 of 10 rows have the worked solution" in words(app)
    app.number_input(key="set_warm_start_rows").set_value(4).run()
    assert "0 of the 8 training rows" in app.warning[0].value
    app.selectbox(key="set_warm_start_target").select("answer").run()
    assert not app.warning
    app.number_input(key="set_warm_start_epochs").set_value(3).run()
    assert "Imitation of 4 rows, then 30 steps" in words(app)
    press(app, "Start training")
    [job] = client.jobs()["data"]
    made = client.job(job["id"])
    asked = made["method"]["reinforcement"]["x_asked"]
    assert asked["warm_start"] == {"rows": 4, "epochs": 3, "target": "answer"}
    assert (made["x_progress"]["warm_steps"], made["x_progress"]["max_steps"]) == (3, 33)
    again = opened("new_job", key=key, **{"from": job["id"]})
    assert again.number_input(key="set_warm_start_epochs").value == 3
    assert again.selectbox(key="set_warm_start_target").value == "answer"


def test_the_form_says_that_sft_imitates(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.selectbox(key="method").select("sft").run()
    assert not app.exception
    assert "30 steps × 8 texts of rows to imitate. SFT." in words(app)
    assert "10 of 10 rows have the worked solution" in words(app)


def test_practice_is_off_until_it_is_switched_on_and_needs_its_hint(client: Client, key: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    lines = [{"question": f"{n}?", "answer": str(n)} | ({"solution": f"so {n}"} if n else {}) for n in range(10)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    uploaded(client, rows)
    app = opened("new_job", key=key)
    assert not app.warning
    app.toggle(key="practise").set_value(True).run()
    assert "1 of 10 rows have no worked solution, but practice shows it" in app.warning[0].value
    app.selectbox(key="set_practice_hint").set_value("answer").run()
    app.number_input(key="set_practice_below").set_value(0.3).run()
    assert not app.warning
    press(app, "Start training")
    [job] = client.jobs()["data"]
    x_rlsd = job["method"]["reinforcement"]["x_rlsd"]
    assert x_rlsd["practice"] == {"below": 0.3, "hint": "answer", "placebo_of": "solution"}


def test_what_the_service_would_refuse_is_shown_before_the_request(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.number_input(key="main_batch_size").set_value(5000).run()
    assert "Questions per step" in app.warning[0].value
    assert next(button for button in app.button if button.label == "Start training").disabled


def test_a_pasted_name_becomes_one_that_the_service_takes(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    app = opened("new_job", key=key)
    app.text_input(key="job_name").input("Prices für Q3, test 1 " + "x" * 80).run()
    assert "The name becomes **Prices-fur-Q3-test-1-" in words(app)
    started(app)
    [job] = client.jobs()["data"]
    assert job["user_provided_suffix"] == allowed_name("Prices für Q3, test 1 " + "x" * 80)
    assert len(str(job["user_provided_suffix"])) == 64


def test_names_are_made_allowed() -> None:
    assert allowed_name("invoices-1") == "invoices-1"
    assert allowed_name("  _two words. ") == "two-words."
    assert allowed_name("Größe (m²)") == "Groe-m2"
    assert allowed_name("日本") == ""


def test_both_sides_of_a_split_are_preselected(client: Client, key: str, rows_file: Path) -> None:
    """The newest dataset after a split is the one that must not be trained on."""
    uploaded(client, rows_file)
    [file] = client.datasets()
    sides = client.split_file(file["id"], share=0.3, seed=1, stratify_by=None)
    app = opened("new_job", key=key)
    assert app.selectbox(key="job_dataset").value == sides["train"]["id"]
    assert app.selectbox(key="job_validation").value == sides["validation"]["id"]
    app.selectbox(key="job_dataset").select(file["id"]).run()
    assert app.selectbox(key="job_validation").value is None


def test_the_verifier_and_model_of_an_earlier_job_are_offered_again(client: Client, key: str, rows_file: Path) -> None:
    new_job(client, rows_file)
    [job] = client.jobs()["data"]
    used = job["method"]["reinforcement"]["x_verifier"]["id"]
    client.create_verifier(name="newer", grader=GRADER)
    app = opened("new_job", key=key, dataset=job["training_file"])
    assert app.selectbox(key="job_verifier").value == used


def test_the_starters_verifier_is_not_chosen_for_other_rows(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename=rows_file.name, mapping=None)
    saved = client.create_verifier(name=starter.VERIFIER, grader=GRADER)["id"]
    app = opened("new_job", key=key)
    assert app.selectbox(key="job_verifier").value is None
    assert "Choose a verifier" in words(app)
    app.selectbox(key="job_verifier").select(saved).run()
    assert "Choose a verifier" not in words(app)
    assert not app.exception


def test_earlier_steps_give_an_estimate_with_its_range(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    metrics = {"step_s": 5.0, "rollout_s": 3.0, "update_s": 1.0, "rollout_tokens": 640.0, "peak_memory_bytes": 1e9}
    with transaction() as session:
        for step in (1, 2, 3):
            slower = {**metrics, "step_s": 5.0 * step, "rollout_s": 3.0 * step}
            session.add(Step(job_id=job_id, step=step, created_at=utc_now(), metrics=slower))
        session.execute(update(Job).values(step=3, device_name="NVIDIA T4"))
    app = opened("new_job", key=key)
    text = words(app)
    assert "About **" in text
    assert " to " in text
    assert "From the last 2 steps of 1 earlier job with this model on this dataset, on NVIDIA T4; 80 % of them" in text
    assert "Peak memory: **1.0 GB** per device." in text
    with rows_file.open("rb") as content:
        other = client.upload(content, filename="others.jsonl", mapping=None)["id"]
    app = opened("new_job", key=key, dataset=other)
    assert "on other data, on NVIDIA T4: your answers may be longer" in words(app)
    assert "About **" not in words(app)


def test_a_job_is_run_again_with_its_own_settings_and_a_change(client: Client, key: str, rows_file: Path) -> None:
    job_id = new_job(client, rows_file)
    body = {
        "model": "starter",
        "training_file": client.job(job_id)["training_file"],
        "seed": 11,
        "suffix": "odd-9",
        "method": {
            "type": "reinforcement",
            "reinforcement": {
                "grader": {"type": "regex", "name": "unsaved", **GRADER},
                "hyperparameters": {"n_epochs": 4},
                "x_rlsd": {
                    "preset": "steady",
                    "eps_w": [0.5, 2.0],
                    "batch_size": 2,
                    "scale_rewards": False,
                    "first_error": False,
                    "temperature": 0.9,
                    "practice": {"below": 0.1, "hint": "placebo"},
                    "lora": {"r": 4, "target_modules": ["q_proj"]},
                },
            },
        },
    }
    source = client.create_job(body)
    app = opened("new_job", key=key, **{"from": source["id"]})
    assert not app.exception
    assert not app.warning, app.warning[0].value
    assert app.text_input(key="job_name").value == "odd-10"
    app.number_input(key="main_learning_rate").set_value(0.002).run()
    press(app, "Start training")
    newest = client.job(client.jobs()["data"][0]["id"])
    before, after = (job["method"]["reinforcement"] for job in (source, newest))
    assert newest["id"] != source["id"]
    assert (newest["seed"], newest["user_provided_suffix"]) == (11, "odd-10")
    assert after["grader"] == before["grader"]
    differing = {name for name, value in after["x_rlsd"].items() if value != before["x_rlsd"][name]}
    assert differing == {"learning_rate"}


@pytest.mark.parametrize(
    ("name", "following"), [("a-1", "a-2"), ("a", "a-2"), (None, ""), ("a-b", "a-b-2"), ("x" * 64, "x" * 62 + "-2")]
)
def test_a_run_again_is_named_after_its_job(name: str | None, following: str) -> None:
    assert prefill.next_name(name) == following


def test_choices_with_the_same_name_are_distinguished() -> None:
    label = distinct_labels({"1": "rows", "2": "rows", "3": "other"}, more=lambda key: f"no. {key}")
    assert [label(key) for key in "123"] == ["rows · no. 1", "rows · no. 2", "other"]


def test_a_viewer_sees_that_they_cannot_start_jobs(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    secret = client.create_key(name="guest", role="viewer", expires_in_days=None)["secret"]
    app = opened("new_job", key=secret)
    assert not app.exception
    assert "editor" in app.warning[0].value
    assert next(button for button in app.button if button.label == "Start training").disabled
