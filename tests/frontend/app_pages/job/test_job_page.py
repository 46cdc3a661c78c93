"""The head of the job page, its tabs of stored data, and the job list, by role."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update
from streamlit.proto.Metric_pb2 import Metric
from streamlit.testing.v1 import AppTest

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Checkpoint, Evaluation, Step
from backend.jobs import events
from frontend.api import Client
from frontend.api.types import Json, StepMetrics, Verdict
from frontend.app_pages.job import head
from frontend.components import tour
from frontend.components.job_feed import JobFeed, pace_s, seconds_left
from tests.frontend import trained
from tests.frontend.api.test_api import new_job
from tests.frontend.app_pages.job.test_tabs import part, shown_texts, take_steps
from tests.frontend.test_pages import opened, words


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def job_id(client: Client, rows_file: Path) -> str:
    return new_job(client, rows_file)


@pytest.fixture
def guest(client: Client) -> str:
    """The key of a viewer."""
    secret: str = client.create_key(name="guest", role="viewer", expires_in_days=None)["secret"]
    return secret


@pytest.fixture
def sent(api_url: str, key: str) -> Iterator[tuple[Client, list[str]]]:
    """A client, and the paths that it has requested."""
    paths: list[str] = []
    hooks = {"request": [lambda request: paths.append(request.url.path)]}
    with httpx.Client(base_url=api_url, event_hooks=hooks) as connections:
        yield Client(connections, key=key), paths


# -- the head ---------------------------------------------------------------------------------------------------------


def test_a_waiting_job_shows_its_creation_and_a_running_one_its_start(key: str, job_id: str) -> None:
    assert "Model starter, created " in words(opened("job", key=key, job=job_id))
    with transaction() as session:
        session.execute(update(Job).values(started_at=utc_now(), state="running"))
    shown = words(opened("job", key=key, job=job_id))
    assert "Model starter, started " in shown
    assert "The model answers, the verifier scores, the model learns." in shown


def test_a_job_that_failed_before_its_first_step_promises_nothing(key: str, job_id: str) -> None:
    with transaction() as session:
        session.execute(update(Job).values(state="failed", finished_at=utc_now()))
    for tab in ("Learning", "Completions", "Rows", "Re-score", "More curves"):
        shown = words(part(key, job_id, tab))
        assert "The job ended before" in shown
        assert "appear" not in shown


def test_the_mean_reward_says_over_how_many_steps(key: str, job_id: str) -> None:
    take_steps(job_id, 2)
    assert "Mean reward, 2 steps" in [metric.label for metric in opened("job", key=key, job=job_id).metric]


def test_a_waiting_job_shows_its_place_in_the_queue(client: Client, key: str, job_id: str, rows_file: Path) -> None:
    second, third = new_job(client, rows_file), new_job(client, rows_file)
    before = {one: client.job(one)["x_progress"]["queue_before"] for one in (job_id, second, third)}
    assert list(before.values()) == [0, 1, 2]
    assert head.place_in_queue(1) == "1 job is before this one"
    client.control_job(job_id, "cancel")
    assert client.job(job_id)["x_progress"]["queue_before"] is None
    client.control_job(second, "cancel")
    assert client.job(third)["x_progress"]["queue_before"] == 0
    progress = opened("job", key=key, job=third).get("progress")[0]
    assert "the next to start" in progress.proto.text


def test_time_left_is_shown_from_the_first_step_and_ignores_one_slow_step(client: Client, job_id: str) -> None:
    take_steps(job_id, 1, max_steps=11)
    feed = JobFeed.open(client, job_id)
    assert feed.job["x_progress"]["eta_s"] is None
    feed.metrics[0]["values"]["step_s"] = 2.0
    assert seconds_left(feed) == 20.0
    times = [2.0, 2.0, 90.0, 2.0]
    metrics: list[StepMetrics] = [{"step": n, "created_at": n, "values": {"step_s": s}} for n, s in enumerate(times)]
    assert pace_s(metrics) == 2.0


def test_a_reopened_page_shows_at_once_that_its_job_has_ended(key: str, job_id: str) -> None:
    take_steps(job_id, 1, max_steps=4)
    app = opened("job", key=key, job=job_id)
    assert "Training" in words(app)
    app.switch_page("app_pages/jobs/page.py").run()
    take_steps(job_id, 4, first=2, state="succeeded", finished_at=utc_now(), max_steps=4)
    app.query_params["job"] = job_id
    app.switch_page("app_pages/job/page.py").run()
    assert not app.exception
    assert "Done" in words(app)
    assert "step 4 of 4" in [caption.value for caption in app.caption]


def test_an_ended_job_shows_the_verdict_first_and_links_to_its_model(client: Client, key: str, job_id: str) -> None:
    take_steps(job_id, 2)
    running = opened("job", key=key, job=job_id)
    assert [header.value for header in running.subheader] == ["Reward", "Groups", "Held-out questions"]
    model = trained.trained(job_id)
    app = opened("job", key=key, job=job_id)
    assert [header.value for header in app.subheader] == ["Held-out questions", "Reward", "Groups"]
    assert "Training helped" in app.success[0].value
    assert "had no score" not in words(app)
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert links["Open the model"] == str(httpx.QueryParams(model=model))
    assert links["Compare with base model"] == str(httpx.QueryParams(left="starter", right=model))


def imitate(job_id: str, steps: int) -> None:
    """Record steps of a warm start of four."""
    with transaction() as session:
        for step in range(1, steps + 1):
            values = {"loss": 3.0 - step / 2, "target_tokens": 40.0, "step_s": 1.0}
            session.add(Step(job_id=job_id, step=step, created_at=utc_now(), metrics=values))
        session.execute(update(Job).values(step=steps, warm_steps=4, max_steps=6, state="running"))


def test_a_warm_start_shows_its_own_progress_and_curve(key: str, job_id: str) -> None:
    imitate(job_id, 3)
    app = opened("job", key=key, job=job_id)
    assert not app.exception
    assert [header.value for header in app.subheader] == ["Imitation", "Held-out questions"]
    assert "warm start, step 3 of 4" in "\n".join(bar.proto.text for bar in app.get("progress"))
    app.segmented_control(key="view").set_value("Completions").run()
    assert not app.exception
    assert "imitation does not" in words(app)


def test_a_job_with_a_warm_start_says_what_training_added_to_imitation(key: str, job_id: str) -> None:
    imitate(job_id, 4)
    take_steps(job_id, 6, first=5, state="succeeded", finished_at=utc_now(), trained_tokens=9)
    trained.measured(job_id, step=0, share=0.1)
    trained.measured(job_id, step=4, share=0.4, phase="warm")
    trained.measured(job_id, step=6, share=0.7)
    with transaction() as session:
        [after] = session.scalars(select(Evaluation).where(Evaluation.phase == "trained"))
        since = {"difference": {"mean": 0.3, "low": 0.2, "high": 0.4}, "p_value": 0.001}
        after.result = after.result | {"since_warm_start": since}
    app = opened("job", key=key, job=job_id)
    assert not app.exception
    assert [header.value for header in app.subheader] == ["Held-out questions", "Imitation", "Reward", "Groups"]
    labels = [metric.label for metric in app.metric]
    assert labels[-3:] == ["Before training", "After imitation", "After training"]
    sentence = next(info.value for info in app.info if info.value.startswith("Imitation took"))
    assert sentence.endswith("(95 % interval +0.200 to +0.400).")
    assert ", training from " in sentence


def test_a_job_that_keeps_its_best_step_says_which_and_what_chose_it(key: str, job_id: str) -> None:
    take_steps(job_id, 2)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = job.spec | {"keep": "best", "eval_interval": 1}
    model = trained.trained(job_id)
    with transaction() as session:
        kept = session.get_one(Evaluation, (job_id, 2, "trained"))
        kept.result = kept.result | {"selection": {"mean": 0.75, "n": 39}}
        checkpoint = session.scalars(select(Checkpoint).where(Checkpoint.job_id == job_id)).one()
        checkpoint.score = 0.75
    shown = words(opened("job", key=key, job=job_id))
    said = "Kept: step 2, chosen on 39 of the questions; the result is measured on the other 40."
    assert said in shown
    checkpoints = words(opened("job", key=key, job=job_id, view="Checkpoints"))
    assert "score on the questions that choose 0.750" in checkpoints
    assert "Kept" in checkpoints
    assert "Best" not in checkpoints
    assert said in words(opened("models", key=key, model=model, view="Card"))


def test_a_held_out_score_says_how_many_completions_had_none(key: str, job_id: str) -> None:
    take_steps(job_id, 2)
    trained.measured(job_id, step=0, share=0.4, unscored=3)
    shown = words(opened("job", key=key, job=job_id))
    assert f"3 of {2 * trained.QUESTIONS} completions had no score" in shown


@pytest.mark.parametrize(
    ("verdict", "title"),
    [("better", "a better model"), ("undecided", "no clear difference"), ("worse", "worse than before")],
)
def test_the_tour_reports_a_better_model_only_if_the_difference_is_shown(verdict: Verdict, title: str) -> None:
    assert tour.WORDS[tour.phase("succeeded", step=2, max_steps=2, judgement=verdict)][0] == title


def test_every_page_shows_the_same_verdict(client: Client, key: str, job_id: str) -> None:
    """An increase alone is no better model: green arrows beside "Undecided" would be trusted."""
    model = trained.trained(job_id)
    for change, label in (({"p_value": 0.7}, "Undecided"), ({"p_value": 0.0004}, "Better")):
        with transaction() as session:
            after = session.get_one(Evaluation, (job_id, 2, "trained"))
            after.result = after.result | change
        for page, address in (("jobs", {}), ("home", {}), ("models", {}), ("models", {"model": model})):
            shown = words(opened(page, key=key, **address))
            assert [label in shown, {"Undecided": "Better", "Better": "Undecided"}[label] in shown] == [True, False]
        app = opened("job", key=key, job=job_id)
        assert label in words(app)
        assert app.metric[-1].proto.color == (Metric.GREEN if label == "Better" else Metric.GRAY)


def test_a_job_that_learned_nothing_is_marked_on_its_page_and_on_its_model(key: str, job_id: str) -> None:
    take_steps(job_id, 2)
    model = trained.trained(job_id)
    with transaction() as session:
        session.get_one(Job, job_id).trained_tokens = 0
    app = opened("job", key=key, job=job_id)
    assert "the adapter has no effect" in app.caption[0].value
    card = opened("models", key=key, model=model, view="Card")
    for page in (app, card):
        assert "No update was made, so the adapter has no effect" in page.warning[0].value
        assert not [*page.success, *page.info, *page.error], "no verdict on the difference"


def test_a_part_chosen_for_one_job_is_not_carried_to_another(client: Client, key: str, job_id: str) -> None:
    second = client.create_job(again(client, job_id))["id"]
    app = part(key, job_id, "Settings")
    app.query_params["job"] = second
    app.query_params.pop("view", None)
    app.run()
    assert app.segmented_control(key="view").value == "Learning"
    app = opened("job", key=key, job=second, view="Events")
    assert app.segmented_control(key="view").value == "Events"


def again(client: Client, job_id: str) -> Json:
    """The body that creates the same job again."""
    job = client.job(job_id)
    reinforcement = job["method"]["reinforcement"]
    method = {"type": "reinforcement", "reinforcement": {"grader": reinforcement["grader"], "x_rlsd": {"max_steps": 2}}}
    return {"model": job["model"], "training_file": job["training_file"], "method": method}


# -- roles ------------------------------------------------------------------------------------------------------------


def test_a_viewer_finds_the_buttons_disabled_with_the_reason(key: str, guest: str, job_id: str) -> None:
    for secret, out_of_reach in ((guest, True), (key, False)):
        app = opened("job", key=secret, job=job_id)
        assert not app.exception
        assert app.button(key="pause").disabled == out_of_reach
    assert "Your role is viewer" in opened("job", key=guest, job=job_id).button(key="pause").help
    take_steps(job_id, 2)
    assert part(guest, job_id, "Rows").button(key="rows_restart").disabled
    assert part(guest, job_id, "Re-score").button(key="rescore_go").disabled
    trained.trained(job_id)
    assert part(guest, job_id, "Downloads").button(key="make_gguf").disabled


# -- checkpoints, events, settings ------------------------------------------------------------------------------------


def test_checkpoints_are_listed_with_step_score_and_size_and_link_to_their_download(
    client: Client, key: str, job_id: str
) -> None:
    trained.trained(job_id)
    app = part(key, job_id, "Checkpoints")
    assert "**Step 2**" in words(app)
    [checkpoint] = client.checkpoints(job_id)
    assert checkpoint["x_size_bytes"] > 0
    assert "kB" in words(app)
    assert "right=ft" in next(
        link.proto.query_string for link in app.get("page_link") if link.proto.label == "Compare with base model"
    )
    app.button(key=f"take_{checkpoint['id']}").click().run()
    assert app.segmented_control(key="view").value == "Downloads"
    assert app.selectbox(key="export_of").value == checkpoint["id"]


def test_checkpoints_of_a_running_job_are_listed_and_can_be_tried(key: str, job_id: str) -> None:
    trained.trained(job_id)
    with transaction() as session:
        session.execute(update(Job).values(state="running", finished_at=None))
    app = part(key, job_id, "Checkpoints")
    assert "**Step 2**" in words(app)
    assert not any(str(button.key).startswith("take_") for button in app.button)


def test_all_events_can_be_read_page_by_page(client: Client, key: str, job_id: str) -> None:
    with transaction() as session:
        for number in range(60):
            events.record(session, job_id, code="note", message=f"Note {number}.")
    app = part(key, job_id, "Events")
    assert "Note 59" in str(app.table[0].value)
    assert "Note 0\\." not in str(list(app.table[0].value["what"]))
    app.button(key="page_further").click().run()
    assert not app.exception
    messages = list(app.table[0].value["what"])
    assert any("Note 0" in line for line in messages)
    assert not any("Note 59" in line for line in messages)
    app.button(key="page_first").click().run()
    assert any("Note 59" in line for line in app.table[0].value["what"])


def test_settings_are_listed_in_words_with_chosen_ones_in_bold(key: str, job_id: str) -> None:
    app = part(key, job_id, "Settings")
    lines = {name: value for table in app.table for name, value in table.value[["setting", "value"]].to_numpy()}
    assert lines["**Training steps**"] == "2 steps"
    assert lines["Warm-up steps"] == "0 steps"
    assert lines["Tokens before the limit that cost reward (DAPO)"] == "none"
    assert lines["Hint for the teacher"] == "Answer"
    assert lines["Weight clipping below and above 1"] == "0.2 and 0.2"
    assert lines["Rank"].isdigit()
    assert "Completions per question" in lines
    assert app.expander[-1].label == "All settings as JSON"
    assert len(shown_texts(app)) == 1


# -- requests per tab -------------------------------------------------------------------------------------------------


def ticking_part() -> None:
    """Script of one tick of a live page that shows this tab."""
    from zoneinfo import ZoneInfo

    import streamlit as st

    from frontend.app_pages.job import checkpoints, learned_rows, rescore, rollouts
    from frontend.app_pages.job import events as job_events

    feed, client = st.session_state["feed"], st.session_state["client"]
    feed.tick(client)
    panel = {
        "Completions": lambda: rollouts.panel(feed, client),
        "Rows": lambda: learned_rows.panel(feed, client),
        "Re-score": lambda: rescore.panel(feed, client),
        "Checkpoints": lambda: checkpoints.panel(feed, client, zone=ZoneInfo("UTC")),
        "Events": lambda: job_events.panel(feed, client, zone=ZoneInfo("UTC")),
    }
    panel[st.session_state["part"]]()


@pytest.mark.parametrize("name", ["Completions", "Rows", "Re-score", "Checkpoints", "Events"])
def test_a_tab_of_a_running_job_makes_at_most_one_request_per_tick(
    job_id: str, sent: tuple[Client, list[str]], name: str
) -> None:
    take_steps(job_id, 2, max_steps=9)
    watching, paths = sent
    if name == "Re-score":
        grader = watching.job(job_id)["method"]["reinforcement"]["grader"]
        watching.rescore(job_id, grader=grader, first=None, last=None, limit=10)
    app = AppTest.from_function(ticking_part, default_timeout=30)
    app.session_state["feed"], app.session_state["client"] = JobFeed.open(watching, job_id), watching
    app.session_state["part"] = name
    app.run()
    paths.clear()
    for _ in range(12):
        app.run()
        assert not app.exception
    assert len(paths) <= 12 + 1, paths
    assert any(path.endswith(("/metrics", job_id, "/events")) for path in paths)


# -- the list ---------------------------------------------------------------------------------------------------------


def titles(app: AppTest) -> list[str]:
    return [link.proto.label for link in app.get("page_link") if "job" in link.proto.query_string]


def test_the_list_shows_data_method_and_result_and_is_filtered_by_state_and_name(
    client: Client, key: str, job_id: str
) -> None:
    trained.trained(job_id)
    other = client.create_job(
        {
            "model": "starter",
            "training_file": client.job(job_id)["training_file"],
            "suffix": "second",
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": client.job(job_id)["method"]["reinforcement"]["grader"], "x_rlsd": {}},
            },
        }
    )
    app = opened("jobs", key=key)
    assert not app.exception
    shown = words(app)
    assert "starter · RLSD · created" in shown
    assert "rows.jsonl · held-out score 0." in shown

    assert titles(app) == ["**second**", "**first-1**"]
    app.pills(key="stage").set_value(["Done"]).run()
    assert titles(app) == ["**first-1**"]
    app.pills(key="stage").set_value([]).run()
    app.text_input(key="name").input("SECO").run()
    assert titles(app) == ["**second**"]
    app.text_input(key="name").input("nothing").run()
    assert "No job matches" in words(app)
    assert [job["id"] for job in client.jobs(status=["queued"])["data"]] == [other["id"]]
