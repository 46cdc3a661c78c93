"""Compare: starting a comparison, its result, and jobs that were not planned together."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.db.engine import transaction
from backend.db.files import File
from frontend.api import Client
from frontend.api.types import ArmObject, ComparisonObject, ComparisonResult, Verdict
from frontend.app_pages.compare import figures as comparing
from frontend.app_pages.compare.feed import ComparisonFeed
from tests.frontend.api.test_api import GRADER, new_job
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import ended, measured, steps_taken


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def started(client: Client, rows_file: Path, **changes: Any) -> ComparisonObject:
    with rows_file.open("rb") as content:
        file = client.upload(content, filename="rows.jsonl", mapping=None)
    method = {"type": "reinforcement", "reinforcement": {"grader": GRADER, "x_rlsd": {"max_steps": 20}}}
    body = {
        "name": "which one",
        "job": {"model": "starter", "training_file": file["id"], "method": method},
        "arms": [
            {"name": "GRPO", "x_rlsd": {"method": "grpo"}},
            {"name": "RLSD", "x_rlsd": {"method": "rlsd", "learning_rate": 0.001}},
        ],
        "seeds": [0, 1, 2],
        **changes,
    }
    return client.create_comparison(body)


def finished(comparison: ComparisonObject) -> None:
    for run in comparison["runs"]:
        better = run["arm"] == "RLSD"
        steps_taken(run["job"], [0.2 + 0.02 * step * (2 if better else 1) for step in range(20)])
        measured(run["job"], step=0, share=0.2, seed=run["seed"])
        measured(run["job"], step=20, share=0.8 if better else 0.4, seed=run["seed"])
        ended(run["job"])


def interval(mean: float, spread: float = 0.1) -> Any:
    return {"mean": mean, "low": mean - spread, "high": mean + spread}


def arm(name: str, **changes: Any) -> ArmObject:
    found: Any = {
        "name": name,
        "seeds": 2,
        "steps": [20, 20],
        "score": interval(0.6),
        "baseline": interval(0.2),
        "pass_at_k": {"1": 0.6, "2": 0.75},
        "curve": [{"step": 20, "score": interval(0.6), "by_seed": [0.5, 0.7], "tokens": 1234.0, "seconds": 40.0}],
        "seconds": 40.0,
        "cost_per_point_s": 90.0,
        "cost_per_point": 0.25,
        "difference": None,
        "by_seed": [],
        "p_value": None,
        "p_adjusted": None,
        "outcome": None,
        "completions": 160,
        "unscored": 0,
    }
    return found | changes  # type: ignore[no-any-return]


def result(*arms: ArmObject) -> ComparisonResult:
    return {"questions": 40, "verdict": "", "currency": "EUR", "arms": list(arms)}


def test_a_band_is_the_range_of_the_seeds_and_the_interval_of_a_single_one() -> None:
    several, single = arm("GRPO"), arm("RLSD")
    single["curve"] = [{**single["curve"][0], "by_seed": [0.6]}]
    found = comparing.held_out_table(result(several, single))
    assert [(line["low"], line["high"]) for line in found] == [(0.5, 0.7), pytest.approx((0.5, 0.7))]
    several["curve"] = [{**several["curve"][0], "by_seed": [0.58, 0.62]}]
    assert comparing.held_out_table(result(several))[0]["high"] == 0.62


def test_figures_are_formatted_and_unknown_ones_are_a_dash() -> None:
    other = arm("RLSD", difference=interval(0.2), p_adjusted=0.0002, cost_per_point_s=None, unscored=7)
    lines = {line["figure"]: line for line in comparing.figures(result(arm("GRPO"), other))}
    assert lines["Cost of +0.01 score"] == {
        "figure": "Cost of +0.01 score",
        "GRPO": "1 min 30 s, 0.25 EUR",
        "RLSD": "–",
    }
    assert lines["Difference"]["GRPO"] == "–"
    assert lines["Difference"]["RLSD"] == "+0.200 (+0.100 to +0.300)"
    assert lines["p-value"]["RLSD"] == "< 0.001"
    assert lines["Tokens per run, all passes"]["RLSD"] == "1,234"
    assert lines["Answers without a score"]["RLSD"] == "7 of 160"


@pytest.mark.parametrize(
    ("outcomes", "tone"),
    [
        (["better"], "better"),
        (["worse"], "worse"),
        (["better", "undecided", "worse"], "both"),
        (["undecided"], "open"),
        ([], "open"),
    ],
)
def test_only_differences_that_were_shown_set_the_tone(outcomes: list[Verdict], tone: str) -> None:
    arms = [arm(str(n), outcome=outcome) for n, outcome in enumerate(outcomes)]
    assert comparing.tone(result(arm("first"), *arms)) == tone


@pytest.mark.parametrize(
    ("seeds", "outcome", "title"),
    [
        (3, "better", "A difference was shown"),
        (2, "better", "A difference was shown by 2 seeds only"),
        (1, "worse", "A difference was shown by 1 seed only"),
        (1, "undecided", "No difference was shown"),
    ],
)
def test_a_difference_shown_by_few_runs_is_qualified(seeds: int, outcome: Verdict, title: str) -> None:
    other = arm("RLSD", outcome=outcome, seeds=seeds)
    assert comparing.title(result(arm("GRPO", seeds=3), other, arm("not measured yet", seeds=0))) == title


def test_an_empty_page_leads_to_a_first_comparison(key: str) -> None:
    app = opened("compare", key=key)
    assert not app.exception
    assert "No comparisons yet" in words(app)
    app = opened("compare", key=key, comparison="new")
    assert not app.exception
    assert "needs a dataset and a verifier" in words(app)


def test_a_missing_comparison_is_reported(key: str) -> None:
    app = opened("compare", key=key, comparison="cmp-none")
    assert not app.exception
    assert "cmp-none" in app.error[0].value


def test_chosen_methods_are_started_with_their_seeds_and_budget(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("compare", key=key, comparison="new")
    assert not app.exception
    assert "3 methods × 3 seeds: 9 jobs." in words(app), "imitation too, where rows have solutions"
    app.number_input(key="cmp_seeds").set_value(2).run()
    app.number_input(key="cmp_max_steps").set_value(40).run()
    app.number_input(key="cmp_limit").set_value(30).run()
    assert not app.warning
    next(button for button in app.button if button.label == "Start comparison").click().run()
    assert not app.exception
    assert not app.error
    [made] = client.comparisons()["data"]
    assert [each["name"] for each in made["plan"]["arms"]] == ["GRPO", "RLSD", "SFT"]
    assert made["name"] == "RLSD vs. SFT vs. GRPO on rows.jsonl"
    assert made["plan"]["budget"] == {"unit": "steps", "limit": 30.0}
    assert {run["seed"] for run in made["runs"]} == {0, 1}
    assert {run["max_steps"] for run in made["runs"]} == {40}
    assert app.title[0].value == made["name"]
    assert "0 of 6 runs ended" in "\n".join(bar.proto.text for bar in app.get("progress"))


def test_reasons_against_a_comparison_are_shown_before_it_is_started(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("compare", key=key, comparison="new")
    app.pills(key="cmp_methods").set_value(["opd"]).run()
    assert not app.exception
    warnings = [warning.value for warning in app.warning]
    assert "Choose at least two methods." in warnings
    assert "Enter the larger teacher model." in warnings
    assert next(button for button in app.button if button.label == "Start comparison").disabled


def test_a_finished_comparison_shows_verdict_figures_and_differences(client: Client, key: str, rows_file: Path) -> None:
    made = started(client, rows_file)
    finished(made)
    app = opened("compare", key=key, comparison=made["id"])
    assert not app.exception
    assert not app.error
    assert "better than GRPO (n = 40" in app.success[0].value
    figures = app.dataframe[0].value
    assert list(figures.columns) == ["figure", "GRPO", "RLSD"]
    assert list(figures["RLSD"][figures["figure"] == "Device time per run"]) == ["40 s"]
    assert len(app.get("vega_lite_chart")) == 2
    app = opened("compare", key=key, comparison=made["id"], view="Differences")
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["setting"]) == ["method", "Learning rate"]
    assert list(table["RLSD"]) == ["rlsd", "0.001"]
    app = opened("compare", key=key, comparison=made["id"], view="Curves")
    assert not app.exception
    app.selectbox(key="cmp_metric").set_value("entropy").run()
    assert len(app.get("vega_lite_chart")) == 1
    app = opened("compare", key=key, comparison=made["id"], view="Runs")
    assert not app.exception
    assert len(app.get("page_link")) >= 6
    app = opened("compare", key=key, comparison=made["id"], view="Try")
    assert not app.exception
    assert "no adapter to try yet" in words(app)


def test_the_list_of_comparisons_leads_on_and_back_to_the_newest(client: Client, key: str, rows_file: Path) -> None:
    made = [started(client, rows_file, name=f"number {n}", seeds=[0]) for n in range(21)]
    app = opened("compare", key=key)
    app.button(key="page_further").click().run()
    assert not app.exception
    assert [button.key for button in app.button if (button.key or "").startswith("open_")] == [f"open_{made[0]['id']}"]
    app.button(key="page_first").click().run()
    assert not app.exception
    assert f"open_{made[-1]['id']}" in [button.key for button in app.button]


def test_datasets_that_differ_are_named_however_many_came_after_them(client: Client, key: str, rows_file: Path) -> None:
    jobs = [new_job(client, rows_file) for _ in range(2)]
    with transaction() as session:
        for number, job_id in enumerate(jobs):
            file = session.get_one(File, client.job(job_id)["training_file"])
            file.filename = f"old {number}.jsonl"
            alike = {column.key: getattr(file, column.key) for column in File.__table__.columns}
            later = alike["created_at"] + timedelta(hours=1)
            session.add_all(File(**alike | {"id": f"file-{number}-{n}", "created_at": later}) for n in range(60))
    app = opened("compare", key=key, jobs=",".join(jobs), view="Differences")
    assert not app.exception
    table = app.dataframe[0].value
    assert sorted(table[table["setting"] == "dataset"].iloc[0])[:2] == ["dataset", "old 0.jsonl"]


def test_a_running_comparison_can_be_cancelled_and_then_deleted(client: Client, key: str, rows_file: Path) -> None:
    made = started(client, rows_file)
    app = opened("compare", key=key, comparison=made["id"])
    assert "Nothing can be compared yet" in words(app)
    app.button(key="cancel").click().run()
    assert not app.exception
    assert client.comparison(made["id"])["status"] == "ended"
    app = opened("compare", key=key, comparison=made["id"])
    app.button(key="delete").click().run()
    assert not app.exception
    assert app.title[0].value == "Compare"
    assert client.comparisons()["data"] == []


def test_unrelated_jobs_are_compared(client: Client, key: str, rows_file: Path) -> None:
    first, second = new_job(client, rows_file), new_job(client, rows_file)
    app = opened("compare", key=key)
    app.multiselect(key="choose_jobs").set_value([first, second]).run()
    app.button(key="side_by_side").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    assert app.title[0].value == "Compare jobs"
    for job_id, share in ((first, 0.2), (second, 0.9)):
        steps_taken(job_id, [0.1, 0.2])
        measured(job_id, step=2, share=share)
        ended(job_id)
    app = opened("compare", key=key, jobs=f"{first},{second}")
    assert not app.exception
    # each upload created its own file, so the held-out rows differ
    assert "different held-out data" in app.info[0].value
    assert list(app.dataframe[0].value.iloc[0])[1:] == ["1", "1"]


def test_a_running_comparison_costs_one_request_per_tick_and_none_once_it_has_ended(
    api_url: str, client: Client, key: str, rows_file: Path
) -> None:
    made = started(client, rows_file)
    sent: list[str] = []
    hooks = {"request": [lambda request: sent.append(request.url.path)]}
    with httpx.Client(base_url=api_url, event_hooks=hooks, timeout=30) as connections:
        watching = Client(connections, key=key)
        feed = ComparisonFeed.of_comparison(watching, made["id"])
        sent.clear()
        for _ in range(8):
            feed.tick(watching)
        assert len(sent) == 8
        assert len(set(sent)) == 3
        finished(made)
        while feed.moving:
            feed.tick(watching)
        assert not feed.settled  # the result is from before the end
        sent.clear()
        while not feed.settled:
            feed.tick(watching)
        assert sorted(path.rsplit("/", 1)[1] for path in sent) == ["curves", "result"]
        assert "better than GRPO" in feed.result["verdict"]
        assert len(feed.curves[0]["points"]) == 20
        sent.clear()
        feed.tick(watching)
        assert sent == []
