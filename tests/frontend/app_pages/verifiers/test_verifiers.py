"""The verifier page: templates, scores on data, differences between versions."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from frontend.api import Client
from frontend.app_pages.verifiers import difference, gallery, score_rows
from frontend.components import row_choice
from frontend.widgets.code_field import CodeFault, faults_of_run
from frontend.words import starter
from tests.frontend.code_fields import code_field, typed
from tests.frontend.test_pages import api_address, opened, words
from tests.processes import wait_for
from tests.service.chatting import servers

__all__ = ["api_address"]

CONTAINS = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "ilike",
}
FAILING = (
    "def grade(item, output_text):\n    found = output_text.split()\n    return float(found[99] == item['answer'])\n"
)


@pytest.fixture
def workers(chat_worker: object, check_worker: object) -> None:
    """The workers that answer and grade."""


@pytest.fixture
def many_rows(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    lines = (json.dumps({"question": f"What is {number}?", "answer": str(number)}) for number in range(120))
    path.write_text("\n".join(lines))
    return path


def uploaded(client: Client, path: Path) -> None:
    with path.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)


def test_without_a_chat_worker_the_services_error_is_shown(client: Client, key: str, rows_file: Path) -> None:
    uploaded(client, rows_file)
    saved = client.create_verifier(name="contains", grader=CONTAINS)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.button(key="beside_write").click().run()
    assert not app.exception
    assert "chat" in app.error[0].value


def test_a_card_shows_the_best_and_the_worst_example() -> None:
    right, half, wrong = ({"text": str(score), "score": score} for score in (1, 0.5, 0))
    assert gallery.best_and_worst([half, right, wrong]) == [right, wrong]
    assert gallery.best_and_worst([right]) == [right]
    assert [gallery.color_of(example["score"]) for example in (right, half, wrong)] == ["green", "red", "red"]


def test_a_template_opens_as_a_draft(client: Client, key: str) -> None:
    app = opened("verifiers", key=key)
    starts = client.ready_made_verifiers()
    assert len([button for button in app.button if button.label == "Use this template"]) == len(starts)
    app.button(key=f"start_from_{starts[2]['id']}").click().run()
    assert not app.exception
    assert app.title[0].value == "New verifier"
    assert app.selectbox(key="start_from").value == starts[2]["name"]


def test_right_answers_and_sampled_ones_are_scored_side_by_side(
    client: Client, key: str, rows_file: Path, workers: None
) -> None:
    wait_for(lambda: servers(), timeout_s=30, what="the chat server's next word")
    uploaded(client, rows_file)
    saved = client.create_verifier(name="contains", grader=CONTAINS)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.number_input(key="beside_rows").set_value(2).run()
    app.button(key="beside_score").click().run()
    assert not app.exception
    assert "**Right answers**: mean score 1 over 2 texts" in words(app)
    app.number_input(key="beside_tokens").set_value(16).run()
    app.button(key="beside_write").click().run()
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "**Model answers**: mean score" in words(app)
    assert words(app).count("**Model answer**") == 4
    next(box for box in app.selectbox if box.label == "Comparison").select("ne").run()
    assert "an earlier draft of the verifier" in words(app)
    app.button(key="beside_again").click().run()
    assert "an earlier draft of the verifier" not in words(app)


def test_any_row_can_be_tested_by_its_number(client: Client, key: str, many_rows: Path, rows_file: Path) -> None:
    uploaded(client, rows_file)
    uploaded(client, many_rows)
    saved = client.create_verifier(name="contains", grader=CONTAINS)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.number_input(key="try_row").set_value(117).run()
    assert not app.exception
    assert "What is 117?" in [text.value for text in app.text]
    few = next(file["id"] for file in client.datasets() if file["rows"] == 10)
    app.selectbox(key="try_dataset").select(few).run()
    assert not app.exception
    assert app.number_input(key="try_row").value == 0


def test_a_partial_score_is_wrong_wherever_a_verifier_is_tested(
    client: Client, key: str, rows_file: Path, workers: None
) -> None:
    uploaded(client, rows_file)
    grader = {"type": "python", "source": "def grade(item, output_text):\n    return 0.4\n"}
    saved = client.create_verifier(name="partial", grader=grader)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.text_area(key="try_text").input("clerk").run()
    app.button(key="try_go").click().run()
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["0.4"]
    assert app.metric[0].help == "A score above 0.5 counts as right."
    assert words(app).count(":red-badge[:material/close: wrong]") == 1
    app.number_input(key="beside_rows").set_value(2).run()
    app.button(key="beside_score").click().run()
    assert words(app).count(":red-badge[:material/close: wrong]") == 5  # of two rows, answer and worked solution each


def test_rows_are_scored_from_a_row_on(client: Client, key: str, many_rows: Path, workers: None) -> None:
    uploaded(client, many_rows)
    saved = client.create_verifier(name="contains", grader=CONTAINS)
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.number_input(key="beside_rows").set_value(2).run()
    app.number_input(key="beside_first").set_value(117).run()
    app.button(key="beside_score").click().run()
    assert not app.exception
    assert [line for line in words(app).splitlines() if line.startswith("Row ")] == ["Row 117", "Row 118"]
    texts = [text.value for text in app.text]
    assert "What is 117?" in texts
    assert "What is 118?" in texts


def test_rows_are_shown_with_their_images_above_the_scored_texts(
    client: Client, key: str, image_rows: Path, workers: None
) -> None:
    uploaded(client, image_rows)
    saved = client.create_verifier(name="contains", grader=CONTAINS)
    app = opened("verifiers", key=key, verifier=saved["id"])
    assert len(app.get("image")) == 1, "of the row under test"
    app.number_input(key="beside_rows").set_value(2).run()
    app.button(key="beside_score").click().run()
    assert not app.exception
    assert len(app.get("image")) == 3
    assert not any("[image]" in text.value for text in app.text)


def test_a_program_that_stops_is_marked_at_the_line_that_stopped(client: Client, key: str, workers: None) -> None:
    saved = client.create_verifier(name="failing", grader={"type": "python", "source": FAILING})
    app = opened("verifiers", key=key, verifier=saved["id"])
    app.segmented_control(key="try_from").set_value("JSON row").run()
    app.text_area(key="try_text").input("too short").run()
    app.button(key="try_go").click().run()
    app.run()
    [fault] = code_field(app, "Python source")["faults"]
    assert fault["line"] == 3
    assert "IndexError" in fault["message"]
    typed(app, "Python source", FAILING.replace("99", "0"))
    assert code_field(app, "Python source")["faults"] == []


def test_versions_show_their_differences(client: Client, key: str) -> None:
    saved = client.create_verifier(name="v", grader={"type": "python", "source": FAILING})
    client.add_verifier_version(saved["id"], name="v", grader={"type": "python", "source": FAILING.replace("99", "0")})
    app = opened("verifiers", key=key, verifier=saved["id"])
    assert not app.exception
    [shown] = [element.proto.body for element in app.get("html") if 'class="difference"' in element.proto.body]
    assert '<div class="removed">-    return float(found[99] == item[&#x27;answer&#x27;])</div>' in shown
    assert '<div class="added">+    return float(found[0]' in shown


def test_what_did_not_change_has_no_difference_and_text_is_escaped() -> None:
    grader = {"type": "regex", "pattern": "<b>"}
    assert list(difference.differing(grader, grader)) == []
    lines = list(difference.differing(grader, {**grader, "flags": "i"}))
    assert "&lt;b&gt;" in difference.marked(lines)


def test_a_failed_run_is_marked_at_the_last_line_of_the_source() -> None:
    reason = "KeyError: 'x'\n  line 9, in grade: return f(item)\n  line 2, in f: return item['x']"
    assert faults_of_run(reason, status="error") == [CodeFault(2, "Stopped here: KeyError: 'x'")]
    assert faults_of_run(reason, status="ok") == []
    assert faults_of_run(None, status="timeout") == []


@pytest.mark.parametrize(
    ("reference", "right"),
    [
        ({"answer": "clerk", "solution": "Below 10 t: the clerk"}, "Below 10 t: the clerk"),
        ({"answer": "clerk", "solution": "It weighs little."}, "clerk"),
        ({"answer": "clerk", "solution": None}, "clerk"),
        ({"answer": None, "solution": "Known only to the verifier."}, "Known only to the verifier."),
    ],
)
def test_a_worked_solution_is_a_right_completion_where_it_states_the_answer(
    reference: dict[str, str | None], right: str
) -> None:
    row: Any = {"reference": reference}
    assert score_rows.references(row)[-1].text == right


def test_the_default_dataset_is_not_the_tours_held_out_and_the_menus_follow_each_other(
    client: Client, key: str
) -> None:
    for name in ("rows.jsonl", starter.HELD_OUT):
        client.upload(io.BytesIO(b'{"question": "a", "answer": "b"}\n'), filename=name, mapping=None)
    app = opened("verifiers", key=key, verifier="new")
    menus = row_choice.OF_A_VERIFIER
    names = {file["filename"]: file["id"] for file in client.datasets()}
    assert {app.selectbox(key=menu).value for menu in menus} == {names["rows.jsonl"]}
    app.selectbox(key="beside_dataset").select(names[starter.HELD_OUT]).run()
    assert {app.selectbox(key=menu).value for menu in menus} == {names[starter.HELD_OUT]}
