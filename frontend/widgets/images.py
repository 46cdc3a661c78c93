"""Images of datasets, cached per session: a page redrawn every two seconds must not fetch them each time."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from frontend.api import Client

MOST_KEPT = 64


def loader(client: Client, file_id: str) -> Callable[[str], bytes]:
    """Return a function from an image's SHA-256 to its bytes, for this dataset."""
    return partial(_read, client, file_id)


@st.cache_data(scope="session", max_entries=MOST_KEPT, show_spinner=False)
def _read(_client: Client, file_id: str, sha256: str) -> bytes:
    return _client.file_image(file_id, sha256)
