"""Adding datasets in a real browser: a file, a pasted table, typed rows; then their report."""

import base64
import io
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.backend.datasets.formats.workbooks import workbook
from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import TRIES, at_rest, choose, choose_file, heading, part, sign_in

PASTED = "Frage\tRichtig\tWeg\n" + "".join(
    f"Wer genehmigt Ventil {n}?\t{who}\tVentile über 10 t: {who}\n" for n, who in enumerate(["Büro", "Leitung"] * 3)
)


@pytest.mark.timeout(180)
def test_a_pasted_table_is_mapped_by_menus_before_it_is_stored(
    browser: Browser, ui: str, key: str, shoot: Shoot
) -> None:
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    shoot(page, "datasets-first")
    part(page, "Paste table")
    field = page.get_by_role("textbox", name="Table", exact=True)
    field.fill(PASTED)
    field.press("Control+Enter")
    expect(page.get_by_text("The column names are not recognised")).to_be_visible()
    for label, column in (("Question", "Frage"), ("Right answer", "Richtig"), ("Worked solution or hint", "Weg")):
        choose(page, label, column)
    expect(page.locator(".terms dd", has_text="Ventile über 10 t: Büro").nth(1)).to_be_visible()
    shoot(page, "dataset-pasted")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "pasted rows.tsv")
    expect(page.get_by_test_id("stMetric").filter(has_text="Rows").first).to_contain_text("6")


@pytest.mark.timeout(180)
def test_rows_written_by_hand_become_a_dataset(browser: Browser, ui: str, key: str, shoot: Shoot) -> None:
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    part(page, "Type rows")
    first_cell_chosen(page)
    fill_cell(page, "Who approves a gasket?", leave_by="Tab")
    expect(page.locator(".terms dd", has_text="Who approves a gasket?").first).to_be_visible()
    at_rest(page)
    fill_cell(page, "the clerk", leave_by="Enter")
    expect(page.locator(".terms dd", has_text="the clerk").first).to_be_visible()
    shoot(page, "dataset-written")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "written rows.jsonl")
    expect(page.locator("code", has_text="the clerk")).to_be_visible()


def first_cell_chosen(page: Page) -> None:
    """Return a cell of the grid, a canvas, which takes clicks only once it is drawn, as its accessible copy shows."""
    grid = page.get_by_test_id("stDataFrame")
    expect(grid).to_be_visible()
    chosen = page.get_by_test_id("glide-cell-1-0").and_(page.locator("[aria-selected=true]"))
    for _ in range(TRIES):
        box = grid.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 250, box["y"] + 52)
        with suppress(AssertionError):
            expect(chosen).to_have_count(1, timeout=5_000)
            return
    raise AssertionError("no cell of the grid can be chosen")


def fill_cell(page: Page, text: str, *, leave_by: str) -> None:
    """Type into a cell's field once it is focused, since a slow page loses earlier letters; leave it once the text is
    drawn, since the grid stores what it drew.
    """
    page.keyboard.press("Enter")
    field = page.locator("#portal textarea")
    expect(field).to_be_focused()
    page.keyboard.type(text)
    expect(field).to_have_value(text)
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    page.keyboard.press(leave_by)


@pytest.mark.timeout(180)
def test_a_file_with_images_and_bad_rows_is_previewed_stored_and_reported(
    browser: Browser, ui: str, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    path = tmp_path / "parts.jsonl"
    path.write_bytes(b"".join(lines()))
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    choose_file(page, path)
    expect(page.get_by_text("Preview")).to_be_visible()
    expect(page.get_by_text("cannot be used: line 4 is not JSON")).to_be_visible()
    expect(page.get_by_test_id("stImage").locator("img").first).to_be_visible()
    shoot(page, "dataset-preview")
    page.get_by_text("Leave out bad rows", exact=True).click()
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "parts.jsonl")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    page.get_by_role("heading", name="Report").scroll_into_view_if_needed()
    shoot(page, "dataset-lengths")
    for name in ("Answers", "Duplicates", "Bad rows"):
        part(page, name)
        page.get_by_role("heading", name="Report").scroll_into_view_if_needed()
        shoot(page, f"dataset-{name.lower().replace(' ', '-')}")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download as CSV", exact=True).click()
    bad = Path(started.value.path()).read_text()
    assert bad.splitlines()[1].startswith("4,invalid_json,")
    page.reload()
    heading(page, "parts.jsonl")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text(re.compile("Rows 50 to 60 of 61"))).to_be_visible()
    page.get_by_text("Show row").scroll_into_view_if_needed()
    shoot(page, "dataset-rows")


@pytest.mark.timeout(120)
def test_a_click_on_a_duplicate_row_shows_it(browser: Browser, ui: str, key: str, tmp_path: Path) -> None:
    questions = ["Who approves a gasket?", "Who approves a valve?", "Who approves a pump?", "Who approves a valve?"]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(json.dumps({"question": each, "answer": "clerk"}) + "\n" for each in questions))
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    choose_file(page, path)
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "twice.jsonl")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    part(page, "Duplicates")
    # The scroll container covers the canvas and takes the click.
    page.locator(".st-key-equal_rows canvas").first.click(position={"x": 16, "y": 52}, force=True)
    expect(page.get_by_role("spinbutton", name="Show row")).to_have_value("1")


def lines() -> list[bytes]:
    rows = []
    for number in range(62):
        picture = io.BytesIO()
        Image.new("RGB", (48, 32), ((number * 37) % 256, 90, 160)).save(picture, "PNG")
        url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
        content = [
            {"type": "text", "text": f"Which bin does part {number // 2} go to, given its colour?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        row = {"messages": [{"role": "user", "content": content}], "reference_answer": f"bin {number % 5}"}
        rows.append(json.dumps(row).encode() + b"\n")
    rows[3] = b'{"messages": \n'
    return rows


@pytest.mark.timeout(120)
def test_a_bad_line_and_unknown_columns_are_explained_and_mapped(
    browser: Browser, ui: str, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    bad, odd = tmp_path / "bad.jsonl", tmp_path / "odd.jsonl"
    bad.write_text('{"question": "a", "answer": "b"}\n{"question": \n')
    odd.write_text('{"asked": "Who approves a valve?", "right": "clerk", "by": "Ann"}\n')
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    choose_file(page, bad)
    page.locator(".st-key-upload_go").get_by_role("button").click()
    expect(page.get_by_text("The dataset was not stored")).to_be_visible()
    expect(page.get_by_text("Line 2 of the file:")).to_be_visible()
    shoot(page, "dataset-bad-line")

    page.reload()
    heading(page, "Datasets")
    choose_file(page, odd)
    expect(page.get_by_text("The column names are not recognised")).to_be_visible()
    for label, column in (("Question", "asked"), ("Right answer", "right")):
        choose(page, label, column)
    shoot(page, "dataset-mapping")
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "odd.jsonl")
    expect(page.get_by_text("Who approves a valve?").first).to_be_visible()


@pytest.mark.timeout(120)
def test_the_sheet_of_a_workbook_is_shown_and_another_one_is_chosen(
    browser: Browser, ui: str, key: str, tmp_path: Path
) -> None:
    exam = tmp_path / "exam.xlsx"
    table = [["Exam of spring"], [], ["question", "answer"], ["Who approves a valve?", "clerk"]]
    exam.write_bytes(workbook([["Welcome"]], table, [["question", "answer"], ["Who approves a pump?", "warden"]]))
    page = browser.open_page()
    page.goto(f"{ui}/datasets")
    sign_in(page, key)
    choose_file(page, exam)
    expect(page.get_by_text("found in the sheet 's1'")).to_be_visible()
    page.get_by_text("Where the table begins").click()
    choose(page, "Sheet", "s2")
    expect(page.locator(".terms dd", has_text="Who approves a pump?").first).to_be_visible()
    page.locator(".st-key-upload_go").get_by_role("button").click()
    heading(page, "exam.xlsx")
    expect(page.get_by_text("Who approves a pump?").first).to_be_visible()
