"""Somebody who may only look: what would be refused is disabled before it is pressed, and says why."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs.lifecycle import JobState
from frontend.api import Client
from frontend.components.rights import ONLY_LOOKS
from tests.frontend.api.test_api import GRADER
from tests.frontend.pages.compare.test_compare import started
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import trained

SECTIONS = ("You", "Keys", "People", "Projects and quotas", "Audit", "Webhooks", "Workers")
LOOKS = {
    *("Sign out", "Any row", "Look again", "Ask", "Ask both", "Set side by side", "Count again", "Back", "Next"),
    *("Put in the right answer", "Put in the worked solution", "Put in a wrong one", "Try it beside its base"),
    "Download",
    *("Cancel the job", "Cancel all runs", "Delete for good", "Delete the adapter"),  # within what does not open
    *("All datasets", "All verifiers", "All comparisons", "All models", "Newest", "Older"),
}
"""Labels of what changes nothing but the page."""


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def pressable(app: AppTest) -> set[str]:
    """What can be pressed, without the names of what is listed."""
    return {button.label for button in app.button if not button.disabled and not button.label.startswith("**")}


def refused(app: AppTest) -> set[str]:
    return {button.label for button in app.button if button.disabled and button.help == ONLY_LOOKS}


def test_what_a_viewer_may_not_do_is_disabled_on_every_page(client: Client, key: str, rows_file: Path) -> None:
    comparison = started(client, rows_file)
    job, ended, paused = (run["job"] for run in comparison["runs"][:3])
    adapter = trained(ended)
    with transaction() as session:
        session.get_one(Job, paused).state = JobState.PAUSED
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
        ("job", {"job": paused}),
        *(("job", {"job": ended, "view": view}) for view in ("Rows", "Re-score", "Checkpoints", "Downloads")),
        ("compare", {}),
        ("compare", {"comparison": comparison["id"]}),
        ("compare", {"comparison": "new"}),
        ("models", {"model": adapter}),
        ("models", {"model": adapter, "view": "Downloads"}),
        ("playground", {"right": adapter}),
        *(("settings", {"section": section}) for section in SECTIONS),
    ]
    found, disabled = {}, set()
    for page, address in places:
        app = opened(page, key=guest, **address)
        assert not app.exception, (page, address)
        said = words(app) + "".join(error.value for error in app.error)
        if page not in ("new_job", "compare", "settings"):  # these say at once that nothing can be started or seen
            assert "needs the role" not in said, (page, address)
        found[page, *address.items()] = pressable(app) - LOOKS
        disabled |= refused(app)
    assert not {place: labels for place, labels in found.items() if labels}
    assert {
        *("Train with it", "New verifier", "Start from this", "Save", "Run the verifier", "Check the verifier"),
        *("Score the right answers", "Have it answer", "Keep this change", "Delete this row"),
        *("Start training", "New job", "Pause", "Resume", "Make it", "Score again", "New comparison"),
        "Start comparing",
    } <= disabled
