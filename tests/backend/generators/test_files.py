"""Generated files are up to date: a client that lags behind fails its users."""

import pytest

from backend.app import app
from backend.generators.commands import NAMES
from backend.generators.files import ROOT, generated_files

FILES = generated_files(app.openapi())


@pytest.mark.parametrize("path", FILES)
def test_a_generated_file_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == FILES[path], "run `make generated`"


def test_names_are_given_to_routes_that_exist() -> None:
    paths = app.openapi()["paths"]
    assert NAMES.keys() <= {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
