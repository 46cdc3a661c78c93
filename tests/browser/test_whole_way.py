"""The whole workflow in a real browser: a table, a verifier, checks, two jobs and their results."""

import csv
import json
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FOR_DOCS, Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import (
    TRAINING_MS,
    answered,
    at_rest,
    choose,
    choose_file,
    download,
    go_to,
    heading,
    part,
    row_to_ask,
    sign_in,
    signed_in_after_reload,
    write,
    write_code,
    write_number,
)
from tests.processes import ROOT

DATA = ROOT / "examples" / "starter" / "train.jsonl"
COLUMNS = {"Question": "Asked", "Right answer": "Approved value", "Worked solution or hint": "Reasons"}
"""Columns of the table, by their part."""
VERIFIER = '''def grade(completion, answer):
    """Score 1 if the last line states the row's answer."""
    lines = completion.strip().splitlines()
    said = lines[-1].removeprefix("Answer:").strip(" .") if lines else ""
    return {"score": float(said == answer), "reason": f"said {said!r}"}
'''
STEPS, ROWS = (120, 400) if FOR_DOCS else (30, 120)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write the starter's rows as a spreadsheet with other column names."""
    path = tmp_path / "approvals.csv"
    rows = [json.loads(line) for line in DATA.read_text().splitlines()[:ROWS]]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["No", *COLUMNS.values()])
        for number, row in enumerate(rows):
            writer.writerow([number, row["messages"][0]["content"], row["answer"], row["solution"]])
    return path


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("check_worker", "sample_worker", "train_worker", "chat_worker")
def test_from_a_spreadsheet_to_a_downloaded_model(
    browser: Browser, ui: str, key: str, shoot: Shoot, table: Path, tmp_path: Path
) -> None:
    page = browser.open_page()
    page.goto(ui)
    shoot(page, "sign-in")
    sign_in(page, key)
    signed_in_after_reload(page)
    heading(page, "Home")
    shoot(page, "home-first")

    upload(page, table, shoot)
    a_dataset_opened_from_the_list_stays_open(page)
    write_verifier(page, shoot)
    check_verifier(page)
    set_up_job(page, shoot)
    try_before_training(page)
    job_address = start_job(page, "first-light")
    watch(browser, page, key, job_address, shoot)
    completions(page, shoot)
    take_home(page, tmp_path)
    train_the_plain_way(page)
    compare(page)
    ask_both(page, job_address)

    go_to(page, "Jobs")
    expect(page.get_by_role("link", name=re.compile("first-light"))).to_have_count(2)
    shoot(page, "jobs")
    go_to(page, "Home")
    shoot(page, "home-after")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()


def upload(page: Page, table: Path, shoot: Shoot) -> None:
    go_to(page, "Datasets")
    choose_file(page, table)
    expect(page.get_by_text("The column names are not recognised")).to_be_visible()
    for label, column in COLUMNS.items():
        choose(page, label, column)
    expect(page.get_by_text("Preview")).to_be_visible()
    shoot(page, "dataset-upload")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "Rows")
    expect(page.get_by_test_id("stMetric").filter(has_text="Rows")).to_contain_text(str(ROWS))
    assert re.search(r"\?dataset=file-\w+$", page.url)
    shoot(page, "dataset")
    page.reload()
    heading(page, table.name)


def a_dataset_opened_from_the_list_stays_open(page: Page) -> None:
    """Check that the address contains the id, so that the next click does not lead back to the list."""
    page.get_by_role("button", name="All datasets").click()
    heading(page, "Datasets")
    expect(page).to_have_url(re.compile(r"/datasets$"))
    page.get_by_role("button", name="approvals.csv").click()
    heading(page, "approvals.csv")
    expect(page).to_have_url(re.compile(r"\?dataset=file-\w+$"))
    page.get_by_role("button", name="Train with this dataset").click()
    heading(page, "New job")


def write_verifier(page: Page, shoot: Shoot) -> None:
    go_to(page, "Verifiers")
    page.get_by_role("button", name="New verifier").click()
    heading(page, "New verifier")
    write(page, "Name", "handbook answer")
    write_code(page, "Python source", VERIFIER)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Insert worked solution").click()
    expect(page.get_by_role("textbox", name="Text to score")).to_have_value(re.compile("Answer: "))
    verdict(page, score="1")
    page.get_by_role("heading", name="New verifier").scroll_into_view_if_needed()
    shoot(page, "verifier")
    page.get_by_role("button", name="Insert wrong answer").click()
    expect(page.get_by_role("textbox", name="Text to score")).to_have_value("Answer: no idea")
    verdict(page, score="0")
    page.get_by_role("button", name="Save", exact=True).click()
    heading(page, "handbook answer")
    expect(page.get_by_role("button", name="Save as version 2")).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name="Python source")).to_contain_text("said = lines[-1]")


def verdict(page: Page, *, score: str) -> None:
    page.get_by_role("button", name="Run verifier").click()
    shown = page.locator(".st-key-verdict")
    expect(shown.get_by_test_id("stMetricValue")).to_have_text(score, timeout=60_000)
    expect(shown.get_by_text("wrong" if score == "0" else "right")).to_be_visible()


def check_verifier(page: Page) -> None:
    """Self-check the verifier, also on empty texts, noise and other rows' answers; right answers get the full score."""
    at_rest(page)
    page.get_by_role("button", name="Check verifier").click()
    found = page.locator(".st-key-self_check_result")
    expect(found).to_be_visible(timeout=60_000)
    expect(found.get_by_text("passed")).to_be_visible()
    on_green = found.locator("svg .role-mark text", has_text=re.compile("^1$")).first
    expect(on_green).to_have_css("fill", "rgb(255, 255, 255)")


def set_up_job(page: Page, shoot: Shoot) -> None:
    go_to(page, "New job")
    page.get_by_text("Method and main settings").click()
    expect(page.get_by_role("radio", name="Steady")).to_be_checked()
    write_number(page, "Training steps", STEPS)
    write_number(page, "Maximum completion length (tokens)", 64)
    write_number(page, "Learning rate", 0.001)
    write(page, "Name (optional)", "first-light")
    expect(page.get_by_text(re.compile(rf"^{STEPS} steps ×"))).to_be_visible()
    page.get_by_role("heading", name="New job").scroll_into_view_if_needed()
    shoot(page, "new-job")


def try_before_training(page: Page) -> None:
    page.get_by_text("Test before training").click()
    at_rest(page)
    page.locator(".st-key-preflight_go button").click()
    expect(page.get_by_text("Does the hint help?")).to_be_visible(timeout=120_000)
    page.get_by_role("tab", name="Teacher preview").click()
    page.get_by_role("button", name="Show the prompts").click()
    expect(page.locator("mark").first).to_be_visible(timeout=60_000)


def start_job(page: Page, name: str) -> str:
    """Start the job and return the address of its page."""
    at_rest(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.wait_for_url(re.compile(r"/job\?job=ftjob-\w+$"))
    return page.url


def watch(browser: Browser, page: Page, key: str, job_address: str, shoot: Shoot) -> None:
    """Open a second viewer while the job runs, and refresh the first."""
    expect(page.get_by_text(re.compile(rf"step [1-9]\d* of {STEPS}"))).to_be_visible(timeout=TRAINING_MS)
    a_live_chart_grows_in_place(page)
    second = browser.open_page()
    second.emulate_media(color_scheme="dark")
    second.goto(job_address)
    sign_in(second, key)
    expect(second.get_by_role("heading", name="first-light")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="first-light")).to_be_visible()
    assert page.url == second.url == job_address
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    shoot(page, "job-running")
    for viewer in (page, second):
        ended(viewer)
        expect(viewer.get_by_text(f"step {STEPS} of {STEPS}")).to_be_visible()
        expect(viewer.get_by_text(re.compile(r"^The difference is"))).to_be_visible()
    for text in ("Before training", "After training"):
        first = page.get_by_test_id("stMetric").filter(has_text=text).get_by_test_id("stMetricValue").inner_text()
        expect(second.get_by_test_id("stMetric").filter(has_text=text)).to_contain_text(first)
    shoot(page, "job-done")
    for viewer, name in ((page, "job-verdict"), (second, "job-verdict-dark")):
        viewer.get_by_text(re.compile(r"^The difference is")).scroll_into_view_if_needed()
        shoot(viewer, name)


def ended(page: Page) -> None:
    expect(page.locator(".st-key-job_state")).to_contain_text("Done", timeout=TRAINING_MS)


def a_live_chart_grows_in_place(page: Page) -> None:
    """Check that new steps are added to the existing chart: a replaced one would lose the mark."""
    progress = page.get_by_text(re.compile(rf"step \d+ of {STEPS}"))
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    seen = int(re.findall(r"\d+", progress.inner_text())[0])
    page.evaluate("document.querySelector('[data-testid=stVegaLiteChart] svg').dataset.standing = 'yes'")
    page.wait_for_function(
        "seen => Number(document.body.innerText.match(/step (\\d+) of/)[1]) > seen", arg=seen, timeout=60_000
    )
    page.wait_for_timeout(500)
    assert page.locator("[data-testid=stVegaLiteChart] svg[data-standing=yes]").count() == 1


def completions(page: Page, shoot: Shoot) -> None:
    part(page, "Completions")
    expect(page.get_by_text(f"Step {STEPS}: 64 completions.")).to_be_visible()
    page.get_by_role("button", name="Token credit", exact=True).first.click()
    expect(page.locator(".tokens span").first).to_be_visible()
    assert page.locator(".tokens span").first.get_attribute("title").startswith("token 1: weight ")
    page.locator(".tokens").scroll_into_view_if_needed()
    shoot(page, "tokens")
    page.reload()
    expect(page.locator(".tokens span").first).to_be_visible()
    part(page, "Events")
    shoot(page, "events")
    part(page, "Learning")


def take_home(page: Page, folder: Path) -> None:
    adapter = download(page, "Download the adapter", folder / "adapter.zip")
    with zipfile.ZipFile(adapter) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert {"adapter_config.json", "adapter_model.safetensors", "manifest.json"} <= {Path(n).name for n in names}
        [manifest] = [n for n in names if Path(n).name == "manifest.json"]
        json.loads(archive.read(manifest))


def train_the_plain_way(page: Page) -> None:
    """Start the same job again with GRPO."""
    page.get_by_role("link", name="Train again with changes").click()
    heading(page, "New job")
    page.get_by_text("Method and main settings").click()
    choose(page, "Method", "GRPO")
    expect(page.get_by_role("spinbutton", name="Training steps")).to_have_value(str(STEPS))
    start_job(page, "first-light-2")
    ended(page)


def compare(page: Page) -> None:
    go_to(page, "Compare")
    for name in ("first-light-2", "first-light"):
        choose(page, "Jobs", re.compile(rf"^{name} \("))
    page.keyboard.press("Escape")
    at_rest(page)
    page.get_by_role("button", name="Compare jobs").click()
    heading(page, "Compare jobs")
    expect(page.get_by_text(re.compile(r"n = \d+, interval"))).to_be_visible()
    page.reload()
    expect(page.get_by_text(re.compile(r"n = \d+, interval"))).to_be_visible()


def ask_both(page: Page, job_address: str) -> None:
    page.goto(job_address)
    page.get_by_role("link", name="Compare with base model").click()
    heading(page, "Playground")
    at_rest(page)
    row_to_ask(page)
    page.get_by_role("button", name="Ask both").click()
    answered(page, 2)
