"""Viewers: forbidden controls are disabled, and their help says why."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs.lifecycle import JobState
from frontend.api import Client
from frontend.components.rights import READ_ONLY
from tests.frontend.api.test_api import GRADER
from tests.frontend.app_pages.compare.test_compare import started
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import trained

SECTIONS = ("You", "Keys", "People", "Projects and quotas", "Audit", "Webhooks", "Workers")
HARMLESS = {
    *("Sign out", "Random row", "Check again", "Ask", "Ask both", "Compare jobs", "Refresh", "Back", "Next"),
    *("Insert right answer", "Insert worked solution", "Insert wrong answer", "Compare with base model"),
    "Download",
    *("Cancel the job", "Cancel all runs", "Delete permanently", "Delete the adapter"),  # in popovers that do not open
    *("All datasets", "All verifiers", "All comparisons", "All models", "Newest", "Older"),
}
"""Labels of controls that change only the page."""


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def pressable(app: AppTest) -> set[str]:
    """Return the labels of enabled buttons, without those of list entries."""
    return {button.label for button in app.button if not button.disabled and not button.label.startswith("**")}


def refused(app: AppTest) -> set[str]:
    return {button.label for button in app.button if button.disabled and button.help == READ_ONLY}


@pytest.mark.slow
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
        text = words(app) + "".join(error.value for error in app.error)
        if page not in (
            "new_job",
            "compare",
            "settings",
        ):  # these pages say themselves that nothing can be started or shown
            assert "requires the role" not in text, (page, address)
        found[page, *address.items()] = pressable(app) - HARMLESS
        disabled |= refused(app)
    assert not {place: labels for place, labels in found.items() if labels}
    assert {
        *("Train with this dataset", "New verifier", "Use this template", "Save", "Run verifier", "Check verifier"),
        *("Score right answers", "Sample answers", "Keep this change", "Delete this row"),
        *("Start training", "New job", "Pause", "Resume", "Export", "Score again", "New comparison"),
        "Start comparison",
    } <= disabled
