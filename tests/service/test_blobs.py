"""Blobs in Postgres: round trip, deduplication, and deletion once unreferenced."""

import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from backend import blobs
from backend.db.blobs import Blob, BlobChunk
from backend.db.engine import transaction
from tests.service.records import stored_file

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.mark.parametrize("size", [0, 1, blobs.CHUNK_BYTES - 1, blobs.CHUNK_BYTES, 2 * blobs.CHUNK_BYTES + 7])
def test_what_goes_in_comes_out_under_its_hash(size: int) -> None:
    content = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    content = content[:size]
    with transaction() as session:
        blob = blobs.put(session, [content[:10], content[10:]])
        assert (blob.sha256, blob.size_bytes) == (hashlib.sha256(content).hexdigest(), size)
    with transaction() as session:
        assert blobs.read(session, blob.sha256) == content


def test_equal_contents_are_stored_once() -> None:
    with transaction() as session:
        first = blobs.put(session, [b"same"]).sha256
    with transaction() as session:
        assert blobs.put(session, [b"sa", b"me"]).sha256 == first
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == 1


def test_a_failed_request_leaves_nothing() -> None:
    with pytest.raises(RuntimeError), transaction() as session:
        blobs.put(session, [b"half"])
        raise RuntimeError
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == 0


def test_bytes_go_with_their_last_user() -> None:
    with transaction() as session:
        one, two = stored_file(session, b"shared"), stored_file(session, b"shared")
    with transaction() as session:
        session.delete(session.merge(one))
        session.flush()
        blobs.drop_unused(session, one.sha256)
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
        session.delete(session.merge(two))
        session.flush()
        blobs.drop_unused(session, two.sha256)
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == 0


def test_bytes_stored_while_another_drops_them_are_there_afterwards() -> None:
    with transaction() as session:
        file = stored_file(session, b"fought over")
    start = threading.Barrier(2)
    kept: list[str] = []

    def drop() -> None:
        start.wait()
        with transaction() as session:
            session.delete(session.merge(file))
            session.flush()
            blobs.drop_unused(session, file.sha256)

    def store() -> None:
        start.wait()
        with transaction() as session:
            kept.append(stored_file(session, b"fought over").sha256)

    threads = [threading.Thread(target=drop), threading.Thread(target=store)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction() as session:
        assert blobs.read(session, kept[0]) == b"fought over"


@given(pieces=st.lists(st.binary(max_size=40)), size=st.integers(1, 16))
def test_rechunking_changes_the_cuts_and_nothing_else(pieces: list[bytes], size: int) -> None:
    chunks = list(blobs.rechunk(pieces, size_bytes=size))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks[-1:])
