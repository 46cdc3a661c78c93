"""Downloads by slow clients: they block nothing, and deletion meanwhile is not a silent truncation."""

import time

import httpx
import pytest
from sqlalchemy import delete

from backend import blobs
from backend.db.engine import engine, transaction
from backend.db.files import DatasetRow, File
from tests.service.conftest import Api
from tests.service.records import stored_file

CHUNKS = 6
ROWS = 200


@pytest.fixture
def large_file(api: Api) -> str:
    """Store a file larger than the socket buffers and return its id."""
    with transaction() as session:
        file = stored_file(session, b"x" * CHUNKS * blobs.CHUNK_BYTES)
        file.row_count = ROWS
        session.add_all(
            DatasetRow(file_id=file.id, number=n, line=n + 1, row_hash=str(n), normal={"item": {"x": "x" * 100_000}})
            for n in range(ROWS)
        )
    return file.id


@pytest.mark.parametrize("path", ["content", "export"])
def test_a_stalled_download_holds_no_connection(api: Api, large_file: str, path: str) -> None:
    deadline = time.monotonic() + 20
    with api.http.stream("GET", f"/v1/files/{large_file}/{path}") as answer:
        pieces = answer.iter_bytes()
        size = len(next(pieces))
        while engine().pool.checkedout():  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        size += sum(map(len, pieces))
    assert size == (CHUNKS * blobs.CHUNK_BYTES if path == "content" else ROWS * len('{"x": ""}\n' + "x" * 100_000))


@pytest.mark.parametrize("path", ["content", "export"])
def test_what_is_deleted_on_the_way_breaks_the_download_off(api: Api, large_file: str, path: str) -> None:
    with api.http.stream("GET", f"/v1/files/{large_file}/{path}") as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        with transaction() as session:
            file = session.get_one(File, large_file)
            session.execute(delete(File).where(File.id == large_file))
            blobs.drop_unused(session, file.sha256)
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
