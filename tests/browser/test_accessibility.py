"""axe (npm) finds no serious violation on any page, light or dark."""

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs.lifecycle import JobState
from frontend.api import Client, new_connections
from tests.browser.profiles import Browser
from tests.browser.steps import (
    TRIES,
    answered,
    at_rest,
    choose,
    heading,
    part,
    row_to_ask,
    sign_in,
    signed_in_after_reload,
    stay_signed_in,
    write,
    write_code,
    write_number,
)
from tests.frontend.app_pages.compare.test_compare import finished
from tests.frontend.app_pages.job.test_tabs import take_steps
from tests.frontend.trained import trained
from tests.node import install, needs_node
from tests.processes import Addresses
from tests.service.conftest import EXACT, job_body

pytestmark = needs_node

PACKAGE = Path(__file__).parent / "axe"
ROWS = b"".join(b'{"question": "%d + 1?", "answer": "%d"}\n' % (n, n + 1) for n in range(12)) + b'{"question": \n'
OF_A_JOB = ("Completions", "Rows", "Leakage", "More curves", "Re-score", "Checkpoints", "Downloads", "Events")
PARTS_OF_A_REPORT = ("Lengths", "Tokens", "Answers", "Languages", "Duplicates", "Overlap", "Bad rows")
DONE_WITH_A_DATASET = ("Versions", "Leave rows out", "Split", "Row history")
SECTIONS = ("You", "Keys", "People", "Projects and quotas", "Audit", "Webhooks", "Workers")
OF_A_COMPARISON = ("Result", "Curves", "Differences", "Runs", "Try")
ARMS = [{"name": "GRPO", "x_rlsd": {"method": "grpo"}}, {"name": "RLSD", "x_rlsd": {"method": "rlsd"}}]
SERIOUS = ("serious", "critical")
NOT_OURS = {"list": {"enabled": False}, "listitem": {"enabled": False}}
"""Streamlit's menu puts the `div`s of its sections into a `ul`."""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe, which a page runs."""
    folder = tmp_path_factory.mktemp("axe")
    install(PACKAGE, folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def running(job_id: str) -> None:
    """Set a job to the state of one in training."""
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.state, job.started_at, job.finished_at = JobState.RUNNING, utc_now(), None
        job.lease_owner, job.lease_until = "here", utc_now() + timedelta(hours=1)


def settled(page: Page) -> None:
    at_rest(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def faults(page: Page, axe: str) -> list[str]:
    """Return the violations, and those of contrast in the other colour scheme, which then stays active."""
    settled(page)
    page.evaluate(axe)
    found = _serious(page, {"rules": NOT_OURS})
    _switch_colours(page)
    return found + _serious(page, {"runOnly": ["color-contrast"]})


def _switch_colours(page: Page) -> None:
    colour = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    before, dark = page.evaluate(f"[{colour}, matchMedia('(prefers-color-scheme: dark)').matches]")
    page.emulate_media(color_scheme="light" if dark else "dark")
    page.wait_for_function(f"before => {colour} !== before", arg=before)
    settled(page)


def _serious(page: Page, options: dict[str, Any]) -> list[str]:
    """Return the violations of a page that was not redrawn meanwhile, as live pages are now and then."""
    found: dict[str, Any] = {}
    for _ in range(TRIES):
        settled(page)
        runs = page.evaluate("window.runs")
        found = page.evaluate(
            "options => axe.run(document, options)", {"resultTypes": ["violations"], "preload": False, **options}
        )
        if page.evaluate("window.runs") == runs:
            break
    return [
        f"{page.url}: {fault['id']} ({fault['help']}): {node['html'][:200]} | {node.get('failureSummary', '')[:300]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


def mapping(page: Page, ui: str, **_: str) -> Iterator[None]:
    """Choose a table with unknown columns."""
    page.goto(f"{ui}/datasets")
    at_rest(page)
    table = {"name": "approvals.csv", "mimeType": "text/csv", "buffer": b"asked,right\nWho?,clerk\nAnd who?,warden\n"}
    page.locator("input[type=file]").set_input_files(table)  # type: ignore[arg-type]
    expect(page.get_by_text("The column names are not recognised")).to_be_visible()
    choose(page, "Question", "asked")
    choose(page, "Right answer", "right")
    expect(page.get_by_text("Preview")).to_be_visible()
    yield


def report(page: Page, ui: str, *, dataset: str, **_: str) -> Iterator[None]:
    """Open each part of a dataset's report and each of its forms."""
    page.goto(f"{ui}/datasets?dataset={dataset}")
    for name in (*PARTS_OF_A_REPORT, *DONE_WITH_A_DATASET):
        part(page, name)
        settled(page)
        yield
    page.get_by_text("Edit this row").click()
    yield


def unfolded(page: Page, ui: str, *, dataset: str, **_: str) -> Iterator[None]:
    """Open all settings of a new job, and its tests before training."""
    page.goto(f"{ui}/new_job?dataset={dataset}")
    for name in ("Method and main settings", "More settings", "Test before training"):
        at_rest(page)
        page.get_by_text(name, exact=True).click()
    yield


def fault_and_matches(page: Page, ui: str, **_: str) -> Iterator[None]:
    """Run a program that fails; then show a pattern with its matches."""
    page.goto(f"{ui}/verifiers?verifier=new")
    heading(page, "New verifier")
    choose(page, "Kind", "Python")
    write_code(page, "Python source", "def grade(completion, answer):\n    return 1 / 0\n")
    write(page, "Text to score", "answer: 42")
    page.get_by_role("button", name="Run verifier").click()
    expect(page.locator(".st-key-verdict").get_by_text("verifier error")).to_be_visible(timeout=60_000)
    yield
    choose(page, "Kind", "Regular expression")
    write_code(page, "Pattern", r"answer: (?P<answer>\d+)")
    expect(page.locator(".matches mark")).to_have_count(1, timeout=60_000)
    yield


def matrix(page: Page, ui: str, *, verifier: str, **_: str) -> Iterator[None]:
    page.goto(f"{ui}/verifiers?verifier={verifier}")
    at_rest(page)
    page.get_by_role("button", name="Check verifier").click()
    expect(page.locator(".st-key-self_check_result").get_by_test_id("stVegaLiteChart")).to_be_visible(timeout=60_000)
    yield
    page.get_by_text("What changed").click()
    yield


def answers(page: Page, ui: str, *, adapter: str, **_: str) -> Iterator[None]:
    """Let two models answer, with a score for each."""
    page.goto(f"{ui}/playground?left=starter&right={adapter}")
    at_rest(page)
    row_to_ask(page)
    write_number(page, "Maximum length (tokens)", 24)
    page.get_by_role("button", name="Ask both").click()
    answered(page, 2)
    yield


def phone(page: Page, ui: str, *, job: str, **_: str) -> Iterator[None]:
    """Check the pages that people watch on a phone."""
    page.set_viewport_size({"width": 390, "height": 844})
    for place in ("", "jobs", f"job?job={job}", f"job?job={job}&view=Completions"):
        page.goto(f"{ui}/{place}")
        settled(page)
        yield


def denied(page: Page, ui: str, *, guest: str, job: str, dataset: str, **_: str) -> Iterator[None]:
    """Check the pages of a viewer, and missing pages."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, guest)
    signed_in_after_reload(page)
    for place in ("datasets", f"datasets?dataset={dataset}", f"job?job={job}", "settings?section=Keys", "job?job=none"):
        page.goto(f"{ui}/{place}")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        settled(page)
        yield


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("check_worker", "chat_worker")
def test_no_page_has_a_serious_fault(browser: Browser, addresses: Addresses, key: str, axe: str) -> None:
    with new_connections(addresses.api) as connections:
        ui, client = addresses.ui, Client(connections, key=key)
        dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None, leave_out_bad=True)["id"]
        verifier = client.create_verifier(name="exact", grader=EXACT)["id"]
        client.add_verifier_version(verifier, name="exact", grader={**EXACT, "operation": "ilike"})
        guest = client.create_key(name="guest", role="viewer", expires_in_days=None)["secret"]
        job, ended = (client.create_job(job_body(dataset))["id"] for _ in range(2))
        take_steps(ended, 2)
        take_steps(job, 2)
        running(job)
        adapter = quote(trained(ended))
        comparison = client.create_comparison(
            {"name": "which one", "job": job_body(dataset), "arms": ARMS, "seeds": [0, 1, 2]}
        )
        finished(comparison)
        page = browser.open_page()
        page.goto(ui)
        found = faults(page, axe)
        sign_in(page, key)
        stay_signed_in(page)
        for place in (
            "",
            "datasets",
            f"datasets?dataset={dataset}",
            "verifiers",
            "verifiers?verifier=new",
            f"verifiers?verifier={verifier}",
            f"new_job?dataset={dataset}",
            "jobs",
            f"job?job={job}",
            f"job?job={job}&view=Settings",
            f"job?job={ended}",
            *(f"job?job={ended}&view={quote(view)}" for view in OF_A_JOB),
            f"job?job={ended}&view=Completions&rollout=rollout-1-0",
            f"job?job={ended}&view=Completions&group=1-0",
            "compare",
            "compare?comparison=new",
            *(f"compare?comparison={comparison['id']}&view={quote(view)}" for view in OF_A_COMPARISON),
            "models",
            "models?model=starter",
            *(f"models?model={adapter}&view={quote(view)}" for view in ("Card", "Use it", "Downloads", "Manifest")),
            "playground",
            f"playground?left=starter&right={adapter}",
            *(
                f"settings?section={name}"
                for name in ("You", "Keys", "People", "Projects and quotas", "Audit", "Webhooks", "Workers")
            ),
        ):
            page.goto(f"{ui}/{place}")
            expect(page.get_by_role("button", name="Sign out")).to_be_visible()
            found += faults(page, axe)
        made = {"dataset": dataset, "verifier": verifier, "job": job, "adapter": adapter, "guest": guest}
        for reach in (mapping, report, unfolded, fault_and_matches, matrix, answers, phone, denied):
            for _ in reach(page, ui, **made):
                found += [f"{reach.__name__}: {fault}" for fault in faults(page, axe)]
    assert not found, "\n".join(sorted(set(found)))
