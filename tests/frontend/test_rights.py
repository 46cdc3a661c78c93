"""Somebody who may only look: what would be refused is disabled before it is pressed, and says why."""

from pathlib import Path

import pytest

from frontend.client import Client
from frontend.components.rights import ONLY_LOOKS
from tests.frontend.test_client import GRADER
from tests.frontend.test_compare import started
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import trained

LOOKS = {
    *("Sign out", "Any row", "Look again", "Ask", "Ask both", "Set side by side", "Count again", "Back", "Next"),
    *("Put in the right answer", "Put in a wrong one", "Try it beside its base", "Download"),
}
"""Labels of buttons that change nothing but the page; links to other pages are tertiary and have other names."""


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def test_what_a_viewer_may_not_do_is_disabled_on_every_page(client: Client, key: str, rows_file: Path) -> None:
    comparison = started(client, rows_file)
    job, ended = comparison["runs"][0]["job"], comparison["runs"][1]["job"]
    adapter = trained(ended)
    verifier = client.create_verifier(name="last word", grader=GRADER)["id"]
    [dataset] = {file["id"] for file in client.datasets()}
    guest = client.create_key(name="guest", role="viewer", expires_in_days=None)["secret"]
    places: list[tuple[str, dict[str, str]]] = [
        ("home", {}),
        ("datasets", {}),
        ("datasets", {"dataset": dataset}),
        ("verifiers", {}),
        ("verifiers", {"verifier": verifier}),
        ("verifiers", {"verifier": "new"}),
        ("new_job", {}),
        ("jobs", {}),
        ("job", {"job": job}),
        *(("job", {"job": ended, "view": view}) for view in ("Rows", "Re-score", "Checkpoints", "Downloads")),
        ("compare", {}),
        ("compare", {"comparison": comparison["id"]}),
        ("compare", {"comparison": "new"}),
        ("models", {"model": adapter}),
        ("models", {"model": adapter, "view": "Downloads"}),
        ("playground", {"right": adapter}),
    ]
    found, refused = {}, set()
    for page, address in places:
        app = opened(page, key=guest, **address)
        assert not app.exception, (page, address)
        said = words(app) + "".join(error.value for error in app.error)
        assert "is not allowed" not in said, (page, address)
        pressable = [b for b in app.button if not b.disabled and b.proto.type != "tertiary"]
        found[page, *address.items()] = {button.label for button in pressable} - LOOKS
        refused |= {button.label for button in app.button if button.disabled and button.help == ONLY_LOOKS}
    assert not {place: labels for place, labels in found.items() if labels}
    assert {
        *("Train with it", "Delete for good", "New verifier", "Save", "Run the verifier", "Check the verifier"),
        *("Start training", "New job", "Pause", "Cancel the job", "Make it", "Score again", "New comparison"),
        *("Start comparing", "Delete the adapter"),
    } <= refused
