"""Preview of how a file will be read, for every format, with and without mapping."""

import base64
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.backend.datasets.formats.workbooks import workbook
from tests.service.conftest import Api, answered, refused

ROWS = [{"asked": f"What is {n}?", "right": str(n), "by": "Ann"} for n in range(5)]


def preview(api: Api, content: bytes, *, name: str = "rows.jsonl", **form: str) -> Any:
    data = {"purpose": "fine-tune", **form}
    return answered(api.http.post("/v1/files/preview", data=data, files={"file": (name, content)}))


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_known_shape_is_proposed_with_rows_before_and_after(api: Api) -> None:
    result = preview(api, jsonl(*({"question": f"{n}?", "answer": f"so #### {n}"} for n in range(5))))
    assert (result["format"], result["shape"], result["made_for"]) == ("jsonl", "question + answer", "verifiers, GSM8K")
    assert result["read_from"]["question"] == "question"
    assert (result["looked_at"], result["bad"], result["refused"]) == (5, 0, None)
    assert [row["line"] for row in result["rows"]] == [1, 2, 3]
    assert result["rows"][1]["item"] == {"question": "1?", "answer": "so #### 1"}
    assert result["rows"][1]["normal"]["reference"] == {
        "answer": "1",
        "solution": "so",
        "trajectory": None,
        "accepted": [],
    }
    assert answered(api.http.get("/v1/files"))["data"] == []


def test_unknown_columns_are_named_and_a_mapping_shows_what_it_makes(api: Api) -> None:
    result = preview(api, jsonl(*ROWS))
    assert result["refused"]["code"] == "unknown_shape"
    assert (result["shape"], result["columns"]) == (None, ["asked", "right", "by"])
    assert [row["normal"] for row in result["rows"]] == [None, None, None]
    mapped = preview(api, jsonl(*ROWS), mapping=json.dumps({"question": "asked", "answer": "right"}))
    assert mapped["shape"] == "mapping"
    assert mapped["rows"][2]["normal"]["messages"] == [{"role": "user", "content": "What is 2?"}]


def test_a_line_that_cannot_name_columns_is_refused_in_the_preview(api: Api) -> None:
    sheet = workbook([["question", "answer"], ["a", "b"]])
    for name, content in (("a.csv", b"question,answer\na,b\n"), ("a.xlsx", sheet)):
        result = preview(api, content, name=name, mapping='{"header_row": 9}')
        assert (result["refused"]["code"], result["rows"], result["header_row"]) == ("invalid_mapping", [], 9)
        assert "choose another `header_row`" in result["refused"]["message"]


def test_tables_of_other_formats_are_read_alike(api: Api) -> None:
    csv = "question,answer\n" + "".join(f"{n}?,{n}\n" for n in range(5))
    parquet = io.BytesIO()
    pq.write_table(pa.table({"question": ["1?", "2?"], "answer": ["1", "2"]}), parquet)
    listed = json.dumps([{"question": f"{n}?", "answer": str(n)} for n in range(4)]).encode()
    for name, content in (("a.csv", csv.encode()), ("a.parquet", parquet.getvalue()), ("a.json", listed)):
        result = preview(api, content, name=name)
        assert result["format"] == name.partition(".")[2]
        assert result["rows"][1]["normal"]["reference"]["answer"] in ("1", "2")
        assert len({json.dumps(row["normal"]) for row in result["rows"]}) == len(result["rows"])


def test_bad_lines_are_reported_long_texts_truncated_and_images_included(api: Api) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 0, 0)).save(picture, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    content = [{"type": "text", "text": "x" * 9000}, {"type": "image_url", "image_url": {"url": url}}]
    row = {"messages": [{"role": "user", "content": content}], "reference_answer": "red"}
    result = preview(api, b"{oops\n" + jsonl(row))
    assert (result["bad"], result["problems"][0]["line"], result["problems"][0]["code"]) == (1, 1, "invalid_json")
    [row_shown] = result["rows"]
    assert row_shown["normal"]["images"] == [url]
    assert len(json.dumps(row_shown)) < 10_000


def test_what_holds_no_table_is_refused(api: Api) -> None:
    for content, code in ((b"", "empty_file"), (b"PAR1 but not really", "invalid_parquet")):
        response = api.http.post("/v1/files/preview", data={"purpose": "fine-tune"}, files={"file": ("x", content)})
        assert refused(response, status=400)["code"] == code
    refused(api.http.post("/v1/files/preview", data={"purpose": "fine-tune"}), status=400)
