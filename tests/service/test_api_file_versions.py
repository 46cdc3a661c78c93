"""Versions of files over HTTP: edits, filters, splits, lineage, differences, and row history."""

import base64
import gzip
import io
import json
import zipfile
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import func, select

from backend.datasets.versions.edits import MAX_EDITS
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileImage, FileStatus
from backend.db.training import Rollout
from backend.settings import settings
from tests.service.conftest import Api, answered, job_body, refused

ROWS = [
    {"question": f"{name}?", "answer": f"so {name}\n#### {name}", "level": n % 2} for n, name in enumerate("abcdefgh")
]


def stored(api: Api, *rows: dict[str, Any]) -> str:
    return str(answered(api.upload(*(rows or ROWS)))["id"])


def version(api: Api, file_id: str, **body: Any) -> dict[str, Any]:
    return answered(api.http.post(f"/v1/files/{file_id}/versions", json=body))


def filtered(api: Api, file_id: str, *filters: dict[str, Any]) -> dict[str, Any]:
    return version(api, file_id, filters=list(filters))


def rows_of(api: Api, file_id: str) -> list[dict[str, Any]]:
    return list(answered(api.http.get(f"/v1/files/{file_id}/rows", params={"limit": 500}))["data"])


def questions(api: Api, file: dict[str, Any]) -> str:
    return "".join(row["item"]["question"][0] for row in rows_of(api, file["id"]))


def files() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(File)) or 0


def picture(red: int) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (4, 4), (red, 0, 0)).save(encoded, "PNG")
    return encoded.getvalue()


def answer(job_id: str, scores: dict[int, list[float | None]]) -> None:
    """Store completions of the job's rows by number, as a trainer does."""
    flat = [(row, sample, score) for row, found in scores.items() for sample, score in enumerate(found)]
    with transaction() as session:
        session.add_all(
            Rollout(
                job_id=job_id,
                step=1,
                number=number,
                row=row,
                sample=sample,
                completion="x",
                record={"score": score, "status": "error" if score is None else "ok", "reason": None},
                advantage=0.0,
                truncated=False,
                has_tokens=False,
            )
            for number, (row, sample, score) in enumerate(flat)
        )


def job_on(api: Api, file_id: str) -> str:
    return str(answered(api.http.post("/v1/fine_tuning/jobs", json=job_body(file_id)))["id"])


def test_edits_make_a_new_file_that_knows_its_parent_and_leave_the_old_one(api: Api) -> None:
    parent = stored(api)
    before = rows_of(api, parent)
    new = {"question": "B?", "answer": "so B\n#### B", "level": 1}
    edits = [
        {"op": "replace", "row": 1, "item": new},
        {"op": "delete", "row": 3},
        {"op": "append", "item": {"question": "z?", "answer": "#### z"}},
    ]
    file = version(api, parent, edits=edits)
    assert (file["parent_id"], file["filename"], file["rows"], file["status"]) == (
        parent,
        "rows.v2.jsonl",
        8,
        "processed",
    )
    assert file["change"]["summary"] == "1 row rewritten (1), 1 row deleted (3), 1 row added."
    assert file["change"]["from"] == {"id": parent, "filename": "rows.jsonl", "rows": 8}
    after = rows_of(api, file["id"])
    assert "".join(row["item"]["question"][0] for row in after) == "aBcefghz"
    assert after[1]["reference"] == {
        "answer": "B",
        "solution": "so B",
        "trajectory": None,
        "accepted": [],
    }  # read in the same way as its file
    assert [row["row_hash"] for row in after[2:7]] == [
        row["row_hash"] for row in before if row["row"] in range(2, 8) and row["row"] != 3
    ]
    assert [(row["id"], row["line"]) for row in after] == [(f"row-{n}", n + 1) for n in range(8)]
    content = api.http.get(f"/v1/files/{file['id']}/content").content
    assert content == api.http.get(f"/v1/files/{file['id']}/export").content
    assert [json.loads(line) for line in content.splitlines()] == [row["item"] for row in after]
    report = answered(api.http.get(f"/v1/files/{file['id']}/report"))
    assert (report["rows"], report["good"], report["with_solution"], report["format"]) == (8, 8, 7, "jsonl")
    assert (report["lengths"]["question"]["max"], report["duplicates"]["rows"]) == (2, 0)
    assert rows_of(api, parent) == before


def test_a_mapping_goes_along_so_that_rows_are_read_as_before(api: Api) -> None:
    mapping = json.dumps({"question": "frage", "answer": "antwort.kurz"})
    rows = [{"frage": f"{n}?", "antwort": {"kurz": n}, "question": "not this", "answer": "nor this"} for n in range(3)]
    parent = answered(api.upload(*rows, mapping=mapping))["id"]
    file = version(api, parent, edits=[{"op": "replace", "row": 0, "item": rows[0] | {"antwort": {"kurz": "neu"}}}])
    assert file["shape"] == "mapping"
    assert rows_of(api, file["id"])[0]["reference"]["answer"] == "neu"
    again = version(api, file["id"], edits=[{"op": "append", "item": rows[0] | {"frage": "x?"}}], filename="mine.jsonl")
    assert (rows_of(api, again["id"])[3]["messages"][0]["content"], again["filename"]) == ("x?", "mine.jsonl")


@pytest.mark.parametrize(
    ("body", "code", "param", "says"),
    [
        ({}, "missing_required_parameter", "edits", "`edits`, `filters`"),
        ({"edits": [{"op": "delete", "row": 8}]}, "no_such_row", "edits.0.row", "from 0 to 7"),
        ({"edits": [{"op": "delete", "row": -1}]}, "invalid_value", "edits.0.delete.row", "greater"),
        ({"edits": [{"op": "delete", "row": 10**30}]}, "invalid_value", "edits.0.delete.row", "less"),
        (
            {"edits": [{"op": "delete", "row": 2}, {"op": "delete", "row": 2}]},
            "row_named_twice",
            "edits.1.row",
            "one edit for each row",
        ),
        ({"edits": [{"op": "move", "row": 2}]}, "invalid_value", "edits.0", "move"),
        (
            {"edits": [{"op": "replace", "row": 0, "item": {"question": "?"}}]},
            "missing_answer",
            "edits.0.item",
            "The row has no",
        ),
        ({"edits": [{"op": "append", "item": {}}]}, "missing_question", "edits.0.item", "no 'question'"),
        ({"edits": [{"op": "append", "item": []}]}, "invalid_value", "edits.0.append.item", "dictionary"),
        ({"edits": [{"op": "replace", "row": 0, "item": ROWS[0]}]}, "nothing_changed", "edits", "Nothing would"),
        ({"edits": [{"op": "delete", "row": row} for row in range(8)]}, "no_rows_left", "filters", "8 rows"),
        ({"filters": [{"type": "text", "contains": "?"}]}, "no_rows_left", "filters", "leave out fewer"),
        ({"filters": [{"type": "exact_duplicates"}]}, "nothing_changed", "edits", "Nothing would"),
        ({"filters": [{"type": "rows", "keep": [0, 8]}]}, "no_such_row", "filters.0.keep.1", "no row 8"),
        ({"filters": [{"type": "solve_rate", "job": "x"}]}, "invalid_value", "filters.0.solve_rate", "at least one of"),
        (
            {"filters": [{"type": "solve_rate", "job": "x", "never_solved": True}]},
            "job_not_found",
            "filters.0.job",
            "No such job",
        ),
        ({"edits": [{"op": "delete", "row": 0}], "filename": "../a"}, "invalid_value", "filename", "pattern"),
        ({"rows": []}, "unknown_parameter", "rows", "rows"),
    ],
)
def test_what_makes_no_version_is_refused_by_name_and_leaves_nothing(
    api: Api, body: dict[str, Any], code: str, param: str, says: str
) -> None:
    parent = stored(api)
    error = refused(api.http.post(f"/v1/files/{parent}/versions", json=body), status=400, code=code)
    assert error["param"] == param
    assert says in error["message"]
    assert files() == 1


def test_only_a_file_that_was_read_can_be_changed(api: Api) -> None:
    parent = stored(api)
    with transaction() as session:
        session.get_one(File, parent).status = FileStatus.UPLOADED
    body = {"edits": [{"op": "delete", "row": 0}]}
    refused(api.http.post(f"/v1/files/{parent}/versions", json=body), status=409, code="file_not_processed")
    refused(api.http.post(f"/v1/files/{parent}/split", json={"share": 0.5}), status=409, code="file_not_processed")
    for route, sent in (("versions", body), ("split", {"share": 0.5})):
        refused(api.http.post(f"/v1/files/file-none/{route}", json=sent), status=404)
    for route in ("versions", "history", "difference?to=x"):
        refused(api.http.get(f"/v1/files/file-none/{route}"), status=404)


def test_filters_are_combined_and_report_how_many_rows_each_removed(api: Api) -> None:
    repeated = [
        *ROWS,
        ROWS[0],
        {"question": "abcdefgh" * 9, "answer": "#### 1"},
        {"question": "q? \x01", "answer": "1"},
    ]
    parent = stored(api, *repeated)
    file = filtered(
        api,
        parent,
        {"type": "exact_duplicates"},
        {"type": "question_length", "max_characters": 20},
        {"type": "warnings"},
        {"type": "text", "contains": "SO B"},
        {"type": "rows", "drop": [2, 1]},
    )
    assert questions(api, file) == "adefgh"
    assert [rule["left_out"] for rule in file["change"]["filters"]] == [1, 1, 1, 1, 1]
    assert "1 row left out (question longer than 20 characters)" in file["change"]["summary"]
    assert questions(api, filtered(api, parent, {"type": "rows", "keep": [7, 0]})) == "ah"
    # The first of two equal rows is gone, so the second is no longer a duplicate.
    both = filtered(api, parent, {"type": "exact_duplicates"}, {"type": "rows", "drop": [0]})
    assert questions(api, both) == "bcdefghaaq"
    # Rows written by a person stay, whatever the filters.
    edited = version(
        api,
        parent,
        edits=[{"op": "replace", "row": 3, "item": {"question": "D?", "answer": "1"}}],
        filters=[{"type": "rows", "keep": [1]}],
    )
    assert questions(api, edited) == "bD"


def test_rows_nearly_like_another_are_left_out_as_the_report_lists_them(api: Api) -> None:
    words = [f"word{n}" for n in range(60)]
    parent = stored(
        api,
        *ROWS,
        {"question": " ".join(words), "answer": "1"},
        {"question": " ".join([*words[:59], "end"]), "answer": "1"},
    )
    file = filtered(api, parent, {"type": "near_duplicates"})
    assert (file["rows"], questions(api, file)) == (9, "abcdefghw")


def test_rows_that_share_a_line_are_left_out_one_by_one(api: Api) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    questions_sent = ["one?", f"{words} begin", "caf\ufffd?", f"{words} end", "last?"]
    content = json.dumps([{"question": question, "answer": "1"} for question in questions_sent]).encode()
    assert b"\n" not in content
    parent = str(answered(api.upload_bytes(content))["id"])
    near = answered(api.http.get(f"/v1/files/{parent}/report"))["near_duplicates"]
    assert (near["rows"], [pair["number"] for pair in near["pairs"]]) == (1, [3])
    assert questions(api, filtered(api, parent, {"type": "near_duplicates"})) == "owcl"
    assert questions(api, filtered(api, parent, {"type": "warnings"})) == "owwl"


@pytest.mark.slow
def test_a_version_that_takes_too_much_memory_is_refused_and_leaves_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "\n".join(json.dumps({"question": "q", "answer": "a", "x": f"{n}" + "x" * 3_900_000}) for n in range(50))
    parent = str(answered(api.upload_bytes(gzip.compress(rows.encode(), 1)))["id"])
    before = files()
    monkeypatch.setenv("RLSD_READER_MEMORY_BYTES", str(256 * 1024**2))
    settings.cache_clear()
    try:
        response = api.http.post(f"/v1/files/{parent}/split", json={"share": 0.5, "stratify_by": "x"})
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert "RLSD_READER_MEMORY_BYTES" in refused(response, status=413, code="too_much_memory")["message"]
    assert files() == before
    assert filtered(api, parent, {"type": "rows", "keep": [0]})["rows"] == 1


def test_history_goes_along_by_row_hash_and_filters_read_it(api: Api) -> None:
    first = stored(api)
    second = filtered(api, first, {"type": "rows", "drop": [0]})["id"]
    old, new = job_on(api, first), job_on(api, second)
    answer(old, {0: [1.0, 1.0], 1: [0.0, 0.5], 2: [1.0, 0.0, None], 3: [None]})
    answer(new, {0: [1.0, 0.0]})  # row b, which is row 1 of the first file
    third = version(api, second, edits=[{"op": "append", "item": {"question": "z?", "answer": "1"}}])["id"]
    history = answered(api.http.get(f"/v1/files/{third}/history"))
    by_row = {row["row"]: {found["job"]: found["solve_rate"] for found in row["jobs"]} for row in history["data"]}
    assert by_row[0] == {old: 0.0, new: 0.5}
    assert by_row[1] == {old: 0.5}
    assert by_row[2] == {old: None}
    assert by_row[7] == {}
    figures = history["data"][1]["jobs"][0]
    assert (figures["file"], figures["completions"], figures["graded"], figures["solved"]) == (first, 3, 2, 1)
    page = answered(api.http.get(f"/v1/files/{third}/history", params={"limit": 3, "after": "row-0"}))
    assert ([row["row"] for row in page["data"]], page["has_more"]) == ([1, 2, 3], True)

    assert questions(api, filtered(api, third, solved(old, never_solved=True))) == "cdefghz"
    assert questions(api, filtered(api, first, solved(old, always_solved=True))) == "bcdefgh"
    assert questions(api, filtered(api, first, solved(old, min_rate=0.1, max_rate=0.9))) == "cdefgh"
    assert questions(api, filtered(api, first, solved(old, unseen="leave_out"))) == "abc"
    other = stored(api, {"question": "other?", "answer": "1"}, {"question": "others?", "answer": "1"})
    body = {"filters": [solved(old, never_solved=True)]}
    error = refused(api.http.post(f"/v1/files/{other}/versions", json=body), status=400, code="job_unrelated")
    assert first in error["message"]
    in_job = answered(api.http.get(f"/v1/fine_tuning/jobs/{old}/rows"))["data"]
    assert [row["solve_rate"] for row in in_job] == [1.0, 0.0, 0.5, None]


def solved(job_id: str, **options: Any) -> dict[str, Any]:
    return {"type": "solve_rate", "job": job_id, **options}


def test_a_job_trains_on_one_side_of_a_split_and_is_measured_on_the_other(api: Api) -> None:
    parent = stored(api, *ROWS, ROWS[0], ROWS[0])
    halves = answered(api.http.post(f"/v1/files/{parent}/split", json={"rows": 4, "seed": 3, "stratify_by": "level"}))
    train, validation = halves["train"], halves["validation"]
    assert (train["rows"] + validation["rows"], validation["rows"]) == (10, 4)
    assert (train["filename"], validation["filename"]) == ("rows.train.jsonl", "rows.validation.jsonl")
    assert validation["change"]["split"] == {"side": "validation", "rows": 4, "seed": 3, "stratify_by": "level"}
    assert "validation side" in validation["change"]["summary"].lower()
    hashes = [{row["row_hash"] for row in rows_of(api, side["id"])} for side in (train, validation)]
    assert not hashes[0] & hashes[1]
    body = job_body(train["id"], validation_file=validation["id"])
    assert answered(api.http.post("/v1/fine_tuning/jobs", json=body))["validation_file"] == validation["id"]
    again = answered(api.http.post(f"/v1/files/{parent}/split", json={"rows": 4, "seed": 3, "stratify_by": "level"}))
    assert rows_of(api, again["train"]["id"]) == rows_of(api, train["id"])


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_value", None),
        ({"share": 0.5, "rows": 4}, "invalid_value", None),
        ({"share": 1.0}, "invalid_value", "share"),
        ({"share": "nan"}, "invalid_value", "share"),
        ({"rows": 1}, "invalid_value", "rows"),
        ({"rows": 8}, "too_few_rows", "rows"),
        ({"rows": 10**12}, "too_few_rows", "rows"),
        ({"share": 0.99}, "too_few_rows", "share"),
        ({"share": 0.5, "seed": -1}, "invalid_value", "seed"),
        ({"share": 0.5, "stratify_by": "colour"}, "unknown_column", "stratify_by"),
    ],
)
def test_a_split_that_cannot_be_is_refused(api: Api, body: dict[str, Any], code: str, param: str | None) -> None:
    parent = stored(api)
    error = refused(api.http.post(f"/v1/files/{parent}/split", json=body), status=400, code=code)
    assert error["param"] == param
    assert files() == 1


def test_the_family_is_found_from_each_member_and_survives_the_loss_of_a_parent(api: Api) -> None:
    first = stored(api)
    second = filtered(api, first, {"type": "rows", "drop": [0]})["id"]
    third = filtered(api, second, {"type": "rows", "drop": [0]})["id"]
    sibling = filtered(api, first, {"type": "rows", "drop": [5]})
    stranger = stored(api)
    assert sibling["filename"] == "rows.v4.jsonl"
    for member in (first, second, third, sibling["id"]):
        found = answered(api.http.get(f"/v1/files/{member}/versions"))["data"]
        assert [file["id"] for file in found] == [first, second, third, sibling["id"]]
        assert [file["parent_id"] for file in found] == [None, first, second, first]
    assert [f["id"] for f in answered(api.http.get(f"/v1/files/{stranger}/versions"))["data"]] == [stranger]
    answered(api.http.delete(f"/v1/files/{second}"))
    orphan = answered(api.http.get(f"/v1/files/{third}"))
    assert (orphan["parent_id"], orphan["change"]["from"]["id"]) == (None, second)
    assert questions(api, filtered(api, third, {"type": "rows", "drop": [0]})) == "defgh"
    assert api.http.get(f"/v1/files/{third}/content").status_code == 200


def test_differences_are_listed_in_pages_and_counted_whole(api: Api) -> None:
    parent = stored(api)
    edits = [
        {"op": "replace", "row": 1, "item": ROWS[1] | {"level": 9}},
        {"op": "delete", "row": 4},
        {"op": "append", "item": {"question": "z?", "answer": "1"}},
    ]
    child = version(api, parent, edits=edits)["id"]
    url = f"/v1/files/{parent}/difference"
    whole = answered(api.http.get(url, params={"to": child}))
    assert [whole[name] for name in ("same", "added", "removed", "changed")] == [6, 1, 1, 1]
    assert [(each["change"], each["row"], each["to_row"]) for each in whole["data"]] == [
        ("changed", 1, 1),
        ("removed", 4, None),
        ("added", None, 7),
    ]
    assert (whole["data"][0]["item"]["level"], whole["data"][0]["to_item"]["level"]) == (1, 9)
    first = answered(api.http.get(url, params={"to": child, "limit": 2}))
    rest = answered(api.http.get(url, params={"to": child, "limit": 2, "after": first["last_id"]}))
    assert first["data"] + rest["data"] == whole["data"]
    assert (first["has_more"], rest["has_more"], rest["removed"]) == (True, False, 1)
    itself = answered(api.http.get(url, params={"to": parent}))
    assert (itself["same"], itself["data"]) == (8, [])
    refused(api.http.get(url, params={"to": "file-none"}), status=404)
    assert refused(api.http.get(url, params={"to": child, "after": "row-1"}), status=400)["param"] == "after"
    refused(api.http.get(url), status=400, code="missing_required_parameter")


def test_images_stay_with_the_rows_that_show_them(api: Api) -> None:
    table = [{"problem": f"{n}? <image>", "answer": str(n), "images": [f"images/{n}.png"]} for n in range(4)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.jsonl", "".join(json.dumps(row) + "\n" for row in table))
        for n in range(4):
            archive.writestr(f"images/{n}.png", picture(n))
    sent = api.http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("rows.zip", packed.getvalue())})
    parent = answered(sent)["id"]
    before = rows_of(api, parent)
    inline = "data:image/png;base64," + base64.b64encode(picture(99)).decode()
    file = version(
        api,
        parent,
        edits=[
            {"op": "replace", "row": 0, "item": table[0] | {"answer": "new"}},
            {"op": "replace", "row": 1, "item": table[1] | {"images": [inline]}},
            {"op": "delete", "row": 2},
            {"op": "append", "item": {"problem": "again? <image>", "answer": "3", "images": ["images/3.png"]}},
        ],
    )
    assert file["filename"] == "rows.v2.jsonl"
    after = rows_of(api, file["id"])
    assert after[0]["images"] == before[0]["images"]
    assert after[1]["images"] != before[1]["images"]
    assert after[2]["images"] == after[3]["images"] == before[3]["images"]
    images = {row["images"][0] for row in after}
    assert kept_images(file["id"]) == images
    report = answered(api.http.get(f"/v1/files/{file['id']}/report"))
    assert (report["with_images"], report["images"]["files"]) == (4, 3)

    # A version of the version still has the paths after the ZIP has been deleted.
    answered(api.http.delete(f"/v1/files/{parent}"))
    with transaction() as session:
        assert set(session.scalars(select(Blob.sha256).where(Blob.sha256.in_(images)))) == images
        assert session.get(Blob, before[2]["images"][0]) is None
    third = version(api, file["id"], edits=[{"op": "replace", "row": 0, "item": table[0] | {"answer": "newer"}}])
    assert rows_of(api, third["id"])[0]["images"] == before[0]["images"]
    lost = {"edits": [{"op": "append", "item": {"problem": "?", "answer": "1", "images": ["images/2.png"]}}]}
    error = refused(api.http.post(f"/v1/files/{third['id']}/versions", json=lost), status=400, code="image_missing")
    assert "no row of the file uses" in error["message"]


def kept_images(file_id: str) -> set[str]:
    with transaction() as session:
        return set(session.scalars(select(FileImage.sha256).where(FileImage.file_id == file_id)))


def test_ten_thousand_edits_are_taken_at_once_and_far_too_many_are_refused(api: Api) -> None:
    count = 10_000
    parent = stored(api, *({"question": f"{n}?", "answer": "1"} for n in range(count + 1)))
    file = version(api, parent, edits=[{"op": "delete", "row": row} for row in range(count)])
    assert questions(api, file) == "1"
    assert file["change"]["edits"]["deleted"]["rows"] == count
    assert len(file["change"]["edits"]["deleted"]["numbers"]) == 100
    many = {"edits": [{"op": "delete", "row": row} for row in range(MAX_EDITS + 1)]}
    error = refused(api.http.post(f"/v1/files/{parent}/versions", json=many), status=400, code="invalid_value")
    assert f"at most {MAX_EDITS}" in error["message"]
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(DatasetRow)) == count + 2
