"""Time to open each page in a real browser with much data, and the API requests of an open page.

A small real job is trained and multiplied: `JOBS` jobs, `ROLLOUTS` completions, and a dataset of `ROWS` rows. A page is
opened by its URL in a browser with a warm cache, and counts as open when its script has ended and no placeholder is
left.
"""

import json
import math
import re
import shutil
import time
from pathlib import Path

import httpx
import psycopg
from playwright.sync_api import Browser, Page, sync_playwright

from backend.cli.demo import STARTER
from backend.cli.http_client import Client
from backend.db.engine import driver_url
from benchmarks.application import KEY, running
from benchmarks.figures import Figure, figure
from benchmarks.filling import copy_rows

ROWS = 10_000
JOBS = 50
ROLLOUTS = 20_000
STEPS = 10
"""Steps that are really trained."""
COPIES_OF_STEPS = 20
"""Factor by which the job's steps are multiplied."""
VIEWS = ("Learning", "Completions", "Rows", "Leakage", "More curves", "Re-score", "Downloads", "Events", "Settings")
"""Views of the job page."""
RUNS = 5
WATCHED_S = 20.0
KEEP_RUNNING = """
UPDATE jobs SET state = 'running', max_steps = 1000, lease_owner = 'benchmark', lease_until = now() + interval '1 hour'
WHERE id = 'ftjob-copy1';
UPDATE checks SET status = 'queued', result = NULL, finished_at = NULL, created_at = now() + interval '1 hour';
"""
"""Keeps a job running and a check queued: workers take neither leased jobs nor checks created in the future."""
CHROMIUM_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGE_READY = """() => document.querySelector('[data-test-script-state="notRunning"]')
    && !document.querySelector('[data-testid="stSkeleton"]') && document.querySelector('h1, h2')"""


def run() -> list[Figure]:
    with (
        running(ui=True) as (addresses, home),
        Client(addresses.api_url, KEY) as client,
        sync_playwright() as playwright,
    ):
        job_id = _trained_job(client)
        dataset_id = _large_dataset(client, home)
        _multiply(driver_url(addresses.database_url), job_id)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        page = _signed_in(browser, str(addresses.ui_url))
        places = {
            "home": "",
            "datasets": "datasets",
            "dataset": f"datasets?dataset={dataset_id}",
            "verifiers": "verifiers",
            "new_job": f"new_job?dataset={dataset_id}",
            "jobs": "jobs",
            **{f"job_{view.lower().replace(' ', '_')}": f"job?job={job_id}&view={view}" for view in VIEWS},
            "compare": f"compare?jobs={job_id},ftjob-copy1",
            "models": "models",
            "playground": "playground",
            "settings": "settings",
        }
        figures = [
            figure(
                f"page_{name}_s",
                [_opening_s(page, f"{addresses.ui_url}/{place}") for _ in range(RUNS + 1)][1:],
                unit="s",
            )
            for name, place in places.items()
        ]
        _run_checks(client, job_id)
        with psycopg.connect(driver_url(addresses.database_url), autocommit=True) as database:
            database.execute(KEEP_RUNNING)
        watched = {
            "home": "",
            "jobs": "jobs",
            "job": "job?job=ftjob-copy1",
            "completions": "job?job=ftjob-copy1&view=Completions",
            "compare": f"compare?jobs={job_id},ftjob-copy1",
            "export": f"job?job={job_id}&view=Downloads",
            "check": f"job?job={job_id}&view=Re-score",
        }
        for name, place in watched.items():
            _opening_s(page, f"{addresses.ui_url}/{place}")
            figures.append(figure(f"watching_{name}_requests_per_s", [_requests_per_s(addresses.api_url)], unit="1/s"))
        browser.close()
    return figures


def _trained_job(client: Client) -> str:
    """Train the starter's job to its end."""
    body = json.loads((STARTER / "job.json").read_text())
    body["method"]["reinforcement"]["grader"] = {
        "type": "python",
        "name": "v",
        "source": (STARTER / "verifier.py").read_text(),
    }
    body["method"]["reinforcement"]["x_rlsd"] |= {"max_steps": STEPS, "eval_rows": 20}
    files = {
        "training_file": client.upload(STARTER / "train.jsonl")["id"],
        "validation_file": client.upload(STARTER / "held_out.jsonl")["id"],
    }
    job_id: str = client.post("/v1/fine_tuning/jobs", body | files)["id"]
    while client.get(f"/v1/fine_tuning/jobs/{job_id}")["status"] != "succeeded":
        time.sleep(0.5)
    return job_id


def _run_checks(client: Client, job_id: str) -> None:
    """Run an export and a re-score of the job to their end."""
    path = f"/v1/fine_tuning/jobs/{job_id}"
    grader = client.get(path)["method"]["reinforcement"]["grader"]
    client.post(f"{path}/exports", {"format": "merged"})
    client.post(f"{path}/rescore", {"grader": grader, "limit": 100})
    while any(check["status"] in ("queued", "running") for check in client.get("/v1/checks")["data"]):
        time.sleep(0.2)


def _large_dataset(client: Client, home: Path) -> str:
    path = home / "rows.jsonl"
    with path.open("w") as file:
        for number in range(ROWS):
            row = {"question": f"What does order {number} cost with {number % 90} percent off?", "answer": str(number)}
            file.write(json.dumps(row) + "\n")
    file_id: str = client.upload(path)["id"]
    while client.get(f"/v1/files/{file_id}")["status"] == "uploaded":
        time.sleep(0.2)
    return file_id


def _multiply(database_url: str, job_id: str) -> None:
    """Copy the job with its steps and evaluations; half of all completions belong to the original job."""
    with psycopg.connect(database_url, autocommit=True) as database:

        def copied(table: str, changed: dict[str, str], source: str) -> None:
            copy_rows(database, table, changed=changed, source=source, values={"job": job_id})

        own = f"generate_series(1, {COPIES_OF_STEPS - 1}) n WHERE old.job_id = %(job)s"
        copied("steps", {"step": f"old.step + n * {STEPS}"}, own)
        copied("rollouts", {"step": f"old.step + n * {STEPS}"}, own)
        database.execute(
            "DELETE FROM rollouts WHERE (step, number) NOT IN "
            "(SELECT step, number FROM rollouts ORDER BY step, number LIMIT %s)",
            (ROLLOUTS // 2,),
        )
        copy = {"id": "'ftjob-copy' || n", "fine_tuned_model": "NULL", "adapter_sha256": "NULL"}
        copied("jobs", copy, f"generate_series(1, {JOBS - 1}) n WHERE old.id = %(job)s")
        others = f"generate_series(1, {JOBS - 1}) n WHERE old.job_id = %(job)s"
        for table in ("steps", "evaluations"):
            copied(table, {"job_id": "'ftjob-copy' || n"}, others)
        copied("rollouts", {"job_id": "'ftjob-copy' || n"}, f"{others} AND old.step <= {_steps_each(database)}")
        database.execute("ANALYZE")


def _steps_each(database: psycopg.Connection[tuple[object, ...]]) -> int:
    """Return the number of steps whose completions each copy needs for `ROLLOUTS` in total."""
    row = database.execute("SELECT count(*) FROM rollouts WHERE step = 1").fetchone()
    assert row
    return math.ceil(ROLLOUTS / 2 / (JOBS - 1) / int(str(row[0])))


def _signed_in(browser: Browser, ui_url: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(ui_url)
    page.get_by_label("API key", exact=True).fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.wait_for_function("() => performance.getEntriesByType('resource').some(e => e.name.endsWith('/session'))")
    return page


def _opening_s(page: Page, address: str) -> float:
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(PAGE_READY)
    return time.perf_counter() - began


def _requests_per_s(api_url: str) -> float:
    """Measure the API requests per second of the page that is open."""
    time.sleep(3)  # for the requests of opening it to finish
    before = _requests(api_url)
    time.sleep(WATCHED_S)
    return (_requests(api_url) - before - 1) / WATCHED_S  # minus the request for this count


def _requests(api_url: str) -> float:
    text = httpx.get(f"{api_url}/metrics", headers={"authorization": f"Bearer {KEY}"}).text
    return sum(map(float, re.findall(r"^rlsd_requests_total\{.*\} (\S+)$", text, re.MULTILINE)))
