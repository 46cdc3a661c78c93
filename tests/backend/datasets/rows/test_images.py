"""Images in all forms that rows use: stored once, in order, and deleted with their last file."""

import base64
import hashlib
import io
import json
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sqlalchemy import func, select

from backend import blobs
from backend.datasets.reading.store import delete_file, store_dataset
from backend.datasets.rows.rows import NormalRow, load_rows, read_rows
from backend.datasets.rows.shape import ColumnMapping
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.files import File, FileImage
from backend.db.projects import DEFAULT_PROJECT
from backend.stack.embedded import Services


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


RED, DARK = png(255), png(40)
IMAGE, TEXT = {"type": "image"}, {"type": "text", "text": "Which?"}


def url(encoded: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded).decode()


def jsonl(*items: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def zipped(table: bytes, *, folder: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{folder}train.jsonl", table)
        archive.writestr(f"{folder}images/red.png", RED)
        archive.writestr(f"{folder}images/deep/dark.png", DARK)
    return file.getvalue()


def row_of(content: bytes, mapping: ColumnMapping | None = None) -> NormalRow:
    (row,) = read_rows(io.BytesIO(content), mapping=mapping)
    return row


def item_with(*parts: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}], "answer": "a", **columns}


BARE = base64.b64encode(RED).decode()
TWO_IN_ORDER = {
    "in the messages": item_with(
        {"type": "image_url", "image_url": {"url": url(RED), "detail": "low"}},
        TEXT,
        {"type": "input_image", "image_url": url(DARK)},
    ),
    "parts without a URL, a column of images": item_with(IMAGE, TEXT, IMAGE, images=[url(RED), {"bytes": url(DARK)}]),
    "placeholders in a text": {"problem": "<image>Which?<image>", "answer": "a", "images": [BARE, url(DARK)]},
    "placeholders in messages": {
        "prompt": [{"role": "user", "content": "<image>Which?<image>"}],
        "reward_model": {"ground_truth": "a"},
        "images": [{"bytes": BARE, "path": None}, {"url": url(DARK)}],
    },
    "a request for responses": {
        "responses_create_params": {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": url(RED)},
                        {"type": "input_text", "text": "Which?"},
                        {"type": "input_image", "image_url": url(DARK)},
                    ],
                }
            ]
        },
        "expected_answer": "a",
    },
}


@pytest.mark.parametrize("item", TWO_IN_ORDER.values(), ids=TWO_IN_ORDER)
def test_images_are_in_the_order_of_their_parts(item: dict[str, Any]) -> None:
    row = row_of(jsonl(item))
    assert row.messages == [{"role": "user", "content": [IMAGE, TEXT, IMAGE]}]
    assert row.image_bytes == (RED, DARK)
    assert row.images == tuple(hashlib.sha256(encoded).hexdigest() for encoded in (RED, DARK))
    assert row.item == item
    text = json.dumps(row.item_without_images)
    assert "iVBOR" not in text
    assert "Which?" in text


@pytest.mark.parametrize("column", ["images", "image"])
def test_images_without_a_placeholder_come_before_the_text(column: str) -> None:
    row = row_of(jsonl({"question": "Which?", "answer": "a", column: [url(RED)]}))
    assert row.messages == [{"role": "user", "content": [IMAGE, TEXT]}]


def test_a_mapping_names_the_column_of_images() -> None:
    mapping = ColumnMapping(question="q", answer="a", images="look.at")
    row = row_of(jsonl({"q": "Which?", "a": "x", "look": {"at": BARE}, "images": "a word"}), mapping)
    assert row.image_bytes == (RED,)


@pytest.mark.parametrize("folder", ["", "data/"])
@pytest.mark.parametrize("paths", [["images/red.png", "images/deep/dark.png"], ["red.png", "deep/dark.png"]])
def test_paths_are_relative_to_the_table_or_to_the_images_folder(folder: str, paths: list[str]) -> None:
    table = jsonl({"question": "<image>Which?<image>", "answer": "a", "images": paths})
    assert row_of(zipped(table, folder=folder)).image_bytes == (RED, DARK)


def test_bytes_in_parquet_are_images() -> None:
    file = io.BytesIO()
    columns = {"question": ["Which?"], "answer": ["a"], "images": [[{"bytes": RED, "path": "a.png"}]]}
    pq.write_table(pa.table(columns), file)
    row = row_of(file.getvalue())
    assert row.image_bytes == (RED,)
    assert row.item["images"] == [{"bytes": BARE, "path": "a.png"}]


def test_without_images_the_placeholder_is_plain_text() -> None:
    row = row_of(jsonl({"question": "What does <image> mean in HTML?", "answer": "a", "images": []}))
    assert row.messages == [{"role": "user", "content": "What does <image> mean in HTML?"}]
    assert row.images == ()


def test_equal_images_are_stored_once_and_deleted_with_their_last_file(clean_database: Services) -> None:
    one = jsonl(*({"question": f"{n}?", "answer": "a", "image": url(RED)} for n in range(3)))
    two = jsonl({"question": "?", "answer": "a", "images": [url(RED), url(DARK)]})
    with transaction() as session:
        first = store_dataset(session, io.BytesIO(one), project=DEFAULT_PROJECT, filename="1.jsonl", mapping=None).id
        second = store_dataset(session, io.BytesIO(two), project=DEFAULT_PROJECT, filename="2.jsonl", mapping=None).id
    red, dark = (hashlib.sha256(encoded).hexdigest() for encoded in (RED, DARK))
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(FileImage)) == 3
        assert blobs.read(session, red) == RED
        assert [row.image_bytes for row in load_rows(session, second)] == [(RED, DARK)]
        assert len({id(row.image_bytes[0]) for row in load_rows(session, first)}) == 1
    with transaction() as session:
        delete_file(session, session.get_one(File, second))
    with transaction() as session:
        assert set(session.scalars(select(Blob.sha256))) >= {red}
        assert session.get(Blob, dark) is None
        delete_file(session, session.get_one(File, first))
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0
