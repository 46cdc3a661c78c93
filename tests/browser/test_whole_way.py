"""A person's whole way in a real browser: key, data, verifier, job, adapter."""

import json
import re
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import FOR_DOCS, Shoot
from tests.frontend.servers import ROOT

DATA = ROOT / "examples" / "starter" / "train.jsonl"
VERIFIER = '''def grade(item, output_text):
    """Right when the last line states the row's answer."""
    lines = output_text.strip().splitlines()
    said = lines[-1].removeprefix("Answer:").strip(" .") if lines else ""
    return {"score": float(said == item["answer"]), "reason": f"said {said!r}"}
'''
STEPS = 120 if FOR_DOCS else 30
TRAINING_MS = 240_000


def opened(browser: Browser, *, dark: bool = False) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme="dark" if dark else "light",
        timezone_id="Europe/Berlin",
        accept_downloads=True,
    )
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    return context


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def signed_in_after_reload(page: Page) -> None:
    """The cookie is fetched just after sign-in; wait for it, then refresh."""
    page.wait_for_function("() => performance.getEntriesByType('resource').some(e => e.name.endsWith('/session'))")
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def heading(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible()


def go_to(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    heading(page, name)


def choose_file(page: Page, path: Path) -> None:
    """As a person would: once the page has come to rest. A file given while it is still being drawn is lost."""
    expect(page.locator('[data-test-script-state="notRunning"]').first).to_be_visible()
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text(path.name).first).to_be_visible()


def part(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click()
    expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()


@pytest.mark.timeout(600)
def test_from_a_file_to_a_downloaded_adapter(
    browser: Browser, stack: str, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    context = opened(browser)
    page = context.new_page()
    page.goto(stack)
    shoot(page, "sign-in")
    sign_in(page, key)
    signed_in_after_reload(page)
    heading(page, "Home")
    shoot(page, "home-first")

    upload(page, shoot)
    a_dataset_opened_from_the_list_stays_open(page)
    write_verifier(page, shoot)
    job_address = start_job(page, shoot)

    # the second viewer comes while the job runs, and the first one refreshes
    expect(page.get_by_text(re.compile(rf"step [1-9]\d* of {STEPS}"))).to_be_visible(timeout=TRAINING_MS)
    other = opened(browser, dark=True)
    second = other.new_page()
    second.goto(job_address)
    sign_in(second, key)
    expect(second.get_by_role("heading", name="first-light")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="first-light")).to_be_visible()
    assert page.url == second.url == job_address
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    shoot(page, "job-running")
    a_live_chart_grows_in_place(page)

    for viewer in (page, second):
        expect(viewer.locator(".st-key-job_state")).to_contain_text("Done", timeout=TRAINING_MS)
        expect(viewer.get_by_text(f"step {STEPS} of {STEPS}")).to_be_visible()
        expect(viewer.get_by_text(re.compile(r"^The difference is"))).to_be_visible()
    before, after = (
        page.get_by_test_id("stMetric").filter(has_text=text).get_by_test_id("stMetricValue").inner_text()
        for text in ("Before training", "After training")
    )
    for text, value in (("Before training", before), ("After training", after)):
        expect(second.get_by_test_id("stMetric").filter(has_text=text)).to_contain_text(value)
    shoot(page, "job-done")
    for viewer, name in ((page, "job-verdict"), (second, "job-verdict-dark")):
        viewer.get_by_text(re.compile(r"^The difference is")).scroll_into_view_if_needed()
        shoot(viewer, name)
    other.close()

    completions(page, shoot)
    adapter = download(page, "Download the adapter", tmp_path / "adapter.zip")
    with zipfile.ZipFile(adapter) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert {"adapter_config.json", "adapter_model.safetensors", "manifest.json"} <= {Path(n).name for n in names}
        [manifest] = [n for n in names if Path(n).name == "manifest.json"]
        json.loads(archive.read(manifest))

    go_to(page, "Jobs")
    expect(page.get_by_role("link", name=re.compile("first-light"))).to_be_visible()
    shoot(page, "jobs")
    go_to(page, "Home")
    shoot(page, "home-after")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    context.close()


def a_dataset_opened_from_the_list_stays_open(page: Page) -> None:
    """Its address names it, so that the next click acts on it and does not fall back to the list."""
    page.get_by_role("button", name="All datasets").click()
    heading(page, "Datasets")
    expect(page).to_have_url(re.compile(r"/datasets$"))
    page.get_by_role("button", name="train.jsonl").click()
    heading(page, "train.jsonl")
    expect(page).to_have_url(re.compile(r"\?dataset=file-\w+$"))
    page.get_by_role("button", name="Train with it").click()
    heading(page, "New job")


def a_live_chart_grows_in_place(page: Page) -> None:
    """New steps are put into the standing chart: were it replaced, the mark would be gone."""
    progress = page.get_by_text(re.compile(rf"step \d+ of {STEPS}"))
    seen = int(re.findall(r"\d+", progress.inner_text())[0])
    page.evaluate("document.querySelector('[data-testid=stVegaLiteChart] svg').dataset.standing = 'yes'")
    page.wait_for_function(
        "seen => Number(document.body.innerText.match(/step (\\d+) of/)[1]) > seen", arg=seen, timeout=60_000
    )
    page.wait_for_timeout(500)
    assert page.locator("[data-testid=stVegaLiteChart] svg[data-standing=yes]").count() == 1


def upload(page: Page, shoot: Shoot) -> None:
    go_to(page, "Datasets")
    choose_file(page, DATA)
    expect(page.get_by_text("How it will be read")).to_be_visible()
    shoot(page, "dataset-upload")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "Rows")
    expect(page.get_by_test_id("stMetric").filter(has_text="Rows")).to_contain_text("400")
    assert re.search(r"\?dataset=file-\w+$", page.url)
    shoot(page, "dataset")
    page.reload()
    heading(page, "train.jsonl")


def write_verifier(page: Page, shoot: Shoot) -> None:
    go_to(page, "Verifiers")
    page.get_by_role("button", name="New verifier").click()
    heading(page, "New verifier")
    page.get_by_role("textbox", name="Name").fill("handbook answer")
    source = page.get_by_role("textbox", name="Python source")
    source.fill(VERIFIER)
    source.press("Control+Enter")
    page.get_by_role("button", name="Put in the right answer").click()
    expect(page.get_by_role("textbox", name="What the model might write")).to_have_value(re.compile("Answer: "))
    verdict(page, score="1")
    page.get_by_role("heading", name="New verifier").scroll_into_view_if_needed()
    shoot(page, "verifier")
    page.get_by_role("button", name="Put in a wrong one").click()
    expect(page.get_by_role("textbox", name="What the model might write")).to_have_value("Answer: no idea")
    verdict(page, score="0")
    page.get_by_role("button", name="Save", exact=True).click()
    heading(page, "handbook answer")
    expect(page.get_by_role("button", name="Save as version 2")).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name="Python source")).to_contain_text("said = lines[-1]")


def verdict(page: Page, *, score: str) -> None:
    page.get_by_role("button", name="Run the verifier").click()
    shown = page.locator(".st-key-verdict")
    expect(shown.get_by_test_id("stMetricValue")).to_have_text(score, timeout=60_000)
    expect(shown.get_by_text("scored")).to_be_visible()


def start_job(page: Page, shoot: Shoot) -> str:
    """Returns the address of the job's page."""
    go_to(page, "New job")
    page.get_by_text("Method and numbers").click()
    expect(page.get_by_role("radio", name="Steady")).to_be_checked()
    for label, value in (
        ("Training steps", str(STEPS)),
        ("Longest completion (tokens)", "64"),
        ("Learning rate", "0.001"),
    ):
        field = page.get_by_role("spinbutton", name=label)
        field.fill(value)
        field.press("Tab")
    page.get_by_role("textbox", name="Name (optional)").fill("first-light")
    page.get_by_role("textbox", name="Name (optional)").press("Tab")
    expect(page.get_by_text(re.compile(rf"^{STEPS} steps ×"))).to_be_visible()
    page.get_by_role("heading", name="New job").scroll_into_view_if_needed()
    shoot(page, "new-job")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="first-light")).to_be_visible()
    page.wait_for_url(re.compile(r"/job\?job=ftjob-\w+$"))
    return page.url


def completions(page: Page, shoot: Shoot) -> None:
    part(page, "Completions")
    expect(page.get_by_text(f"Step {STEPS}: 64 completions.")).to_be_visible()
    page.get_by_role("button", name="Token credit", exact=True).first.click()
    expect(page.locator(".tokens span").first).to_be_visible()
    assert page.locator(".tokens span").first.get_attribute("title").startswith("token 1: weight ")
    page.locator(".tokens").scroll_into_view_if_needed()
    shoot(page, "tokens")
    part(page, "Events")
    shoot(page, "events")
    part(page, "Learning")


def download(page: Page, name: str, path: Path) -> Path:
    with page.expect_download(timeout=60_000) as started:
        page.get_by_role("button", name=name).click()
    started.value.save_as(path)
    return path


@pytest.mark.timeout(120)
def test_a_bad_line_and_unknown_columns_are_explained_and_mapped(
    browser: Browser, stack: str, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    bad, odd = tmp_path / "bad.jsonl", tmp_path / "odd.jsonl"
    bad.write_text('{"question": "a", "answer": "b"}\n{"question": \n')
    odd.write_text('{"asked": "Who approves a valve?", "right": "clerk", "by": "Ann"}\n')
    context = opened(browser)
    page = context.new_page()
    page.goto(f"{stack}/datasets")
    sign_in(page, key)
    choose_file(page, bad)
    page.locator(".st-key-upload_go").get_by_role("button").click()
    expect(page.get_by_text("Nothing was stored")).to_be_visible()
    expect(page.get_by_text("Line 2 of the file:")).to_be_visible()
    shoot(page, "dataset-bad-line")

    page.reload()
    heading(page, "Datasets")
    choose_file(page, odd)
    expect(page.get_by_text("not recognised")).to_be_visible()
    for label, column in (("Question", "asked"), ("Right answer", "right")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=column, exact=True).click()
    shoot(page, "dataset-mapping")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "odd.jsonl")
    expect(page.get_by_text("Who approves a valve?").first).to_be_visible()
    context.close()


@pytest.mark.timeout(120)
def test_the_key_never_reaches_the_address_or_what_the_browser_keeps(browser: Browser, stack: str, key: str) -> None:
    context = opened(browser)
    page = context.new_page()
    page.goto(stack)
    sign_in(page, key)
    signed_in_after_reload(page)
    [cookie] = [c for c in context.cookies() if c["name"] == "rlsd_session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = json.dumps([context.cookies(), context.storage_state(), page.url])
    assert key not in kept
    context.close()


@pytest.mark.timeout(120)
def test_no_page_asks_anything_of_another_host(browser: Browser, stack: str, key: str) -> None:
    context = opened(browser)
    page = context.new_page()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
    page.goto(stack)
    sign_in(page, key)
    for name in ("Datasets", "Verifiers", "New job", "Jobs", "Home"):
        go_to(page, name)
    page.wait_for_timeout(1000)
    assert asked - {""} == {"127.0.0.1"}
    context.close()
