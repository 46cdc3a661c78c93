"""Writing a verifier and re-scoring a job, in a real browser with real workers."""

import io
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from backend.db.engine import transaction
from backend.db.jobs import Job
from frontend.api import Client, new_connections
from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import SCORE, choose, heading, part, sign_in, write, write_code
from tests.frontend.api.test_api import new_job
from tests.frontend.app_pages.job.test_rescore import GROUP, rollout
from tests.processes import Addresses

ROWS = '{"question": "Who approves a gasket?", "answer": "clerk"}\n{"question": "And a valve?", "answer": "warden"}\n'


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("check_worker")
def test_a_pattern_shows_its_matches_and_a_program_its_error(
    browser: Browser, addresses: Addresses, key: str, shoot: Shoot
) -> None:
    page = browser.open_page()
    page.goto(f"{addresses.ui}/verifiers?verifier=new")
    sign_in(page, key)
    heading(page, "New verifier")

    write(page, "Text to score", "Well: answer: 41. No, answer: 42")
    choose(page, "Kind", "Regular expression")
    write_code(page, "Pattern", r"answer: (?P<answer>\d+)")
    expect(page.locator(".matches mark")).to_have_count(2, timeout=60_000)
    expect(page.locator(".matches mark.first u")).to_have_text("41")
    page.locator(".matches").scroll_into_view_if_needed()
    shoot(page, "verifier-matches")
    write(page, "Text to score", "a" * 40 + "b")
    write_code(page, "Pattern", "(a+)+$")
    expect(page.get_by_text("exceeded the time limit")).to_be_visible(timeout=60_000)

    choose(page, "Kind", "Python")
    expect(page.get_by_text("is called with")).to_be_visible()
    write_code(page, "Python source", "def grade(item, output_text):\n    return (1 +\n")
    expect(page.get_by_text("Line 2, column 12").first).to_be_visible()
    expect(page.locator(".cm-lint-marker-error")).to_be_visible()
    expect(page.get_by_text("→ 2 return (1 +")).to_be_visible()
    page.get_by_text("Line 2, column 12").last.scroll_into_view_if_needed()
    shoot(page, "verifier-fault")

    choose(page, "Kind", "Combined")
    page.get_by_role("button", name="Add a grader").click()
    expect(page.get_by_text("A grader has no name.")).to_be_visible()
    write(page, "Name in the formula", "short", last=True)
    expect(page.get_by_text("Available names: form, right, short.")).to_be_visible()
    shoot(page, "verifier-several")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("check_worker")
def test_a_verifier_starts_from_a_template_and_is_tested_on_data(
    browser: Browser, addresses: Addresses, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        client.upload(io.BytesIO(ROWS.encode()), filename="approvals.jsonl", mapping=None)
    page = browser.open_page()
    page.goto(f"{addresses.ui}/verifiers")
    sign_in(page, key)
    heading(page, "Start from a template")
    shoot(page, "verifier-gallery")
    page.locator(".st-key-start_contains, [class*=st-key-start_from_]").get_by_role("button").first.click()
    heading(page, "New verifier")
    choose(page, "Kind", "Python")
    editor = page.get_by_role("textbox", name="Python source", exact=True)
    editor.click()
    page.keyboard.press("ControlOrMeta+End")
    page.keyboard.type("\nx = 1", delay=30)
    expect(page.get_by_text("is called with")).to_be_visible()
    expect(editor).to_contain_text("x = 1")
    shoot(page, "verifier-editor")
    page.get_by_role("button", name="Score right answers").click()
    expect(page.get_by_text("mean score 1 over 2 texts")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(SCORE)).to_have_count(2)
    page.get_by_text("mean score 1 over 2 texts").scroll_into_view_if_needed()
    shoot(page, "verifier-on-data")
    page.get_by_role("textbox", name="Name", exact=True).fill("who approves")
    page.get_by_role("button", name="Save", exact=True).click()
    heading(page, "who approves")
    expect(editor).to_contain_text("x = 1")
    write_code(
        page, "Python source", "def grade(item, output_text):\n    return float(item['answer'] == output_text)\n"
    )
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("button", name="Save as version 3")).to_be_visible()
    page.get_by_text("What changed").click()
    expect(page.locator(".difference .added").first).to_be_visible()
    shoot(page, "verifier-versions")
    page.reload()
    expect(editor).to_contain_text("item['answer'] == output_text")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("check_worker")
def test_a_job_is_rescored_by_another_verifier(
    browser: Browser, addresses: Addresses, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(ROWS + "".join(f'{{"question": "{n}?", "answer": "planner"}}\n' for n in range(8)))
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        job_id = new_job(client, rows)
        client.create_verifier(name="anywhere", grader={"type": "regex", "pattern": r"(?P<answer>clerk|warden)"})
    with transaction() as session:
        session.add_all(rollout(job_id, number=number) for number in range(2 * GROUP))
        session.execute(update(Job).values(step=1))

    page = browser.open_page()
    page.goto(f"{addresses.ui}/job?job={job_id}")
    sign_in(page, key)
    part(page, "Re-score")
    choose(page, "Verifier", "anywhere")
    page.get_by_role("button", name="Score again").click()
    expect(page.get_by_text("8 of 16 completions (50.0%) change score")).to_be_visible(timeout=60_000)
    shoot(page, "rescore")
    page.get_by_text("Side by side").scroll_into_view_if_needed()
    expect(page.get_by_text("The warden, I think")).to_be_visible()
    shoot(page, "rescore-example")
