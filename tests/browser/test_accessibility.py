"""axe, from npm, finds no serious fault on any page, light or dark."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from frontend.client import Client, new_connections
from tests.browser.steps import opened, sign_in
from tests.frontend.servers import running_stack
from tests.frontend.test_job_parts import take_steps
from tests.frontend.trained import trained
from tests.node import install, needs_node
from tests.service.conftest import EXACT, job_body

pytestmark = needs_node

PACKAGE = Path(__file__).parent / "axe"
ROWS = b"".join(b'{"question": "%d + 1?", "answer": "%d"}\n' % (n, n + 1) for n in range(12))
OF_A_JOB = ("Completions", "Rows", "Leakage", "More curves", "Re-score", "Checkpoints", "Downloads", "Events")
SERIOUS = ("serious", "critical")
NOT_OURS = {"list": {"enabled": False}, "listitem": {"enabled": False}}
"""Streamlit's menu has its sections' `div`s in a `ul`."""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its source, which a page runs."""
    folder = tmp_path_factory.mktemp("axe")
    install(PACKAGE, folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def settled(page: Page) -> None:
    expect(page.locator('[data-test-script-state="notRunning"]').first).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(500)  # what fades in is pale until it has


def faults(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, {resultTypes: ['violations'], rules})", NOT_OURS)
    return [
        f"{page.url}: {fault['id']} ({fault['help']}): {node['html'][:200]} | {node.get('failureSummary', '')[:300]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_a_serious_fault(
    browser: Browser, services: object, key: str, tmp_path: Path, axe: str, *, dark: bool
) -> None:
    with (
        running_stack(tmp_path, "check", "chat") as addresses,
        new_connections(addresses.api) as connections,
    ):
        ui, client = addresses.ui, Client(connections, key=key)
        dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)["id"]
        verifier = client.create_verifier(name="exact", grader=EXACT)["id"]
        job, ended = (client.create_job(job_body(dataset))["id"] for _ in range(2))
        take_steps(ended, 2)
        adapter = quote(trained(ended))
        page = opened(browser, dark=dark).new_page()
        page.goto(ui)
        settled(page)
        found = faults(page, axe)
        sign_in(page, key)
        page.wait_for_function("() => performance.getEntriesByType('resource').some(e => e.name.endsWith('/session'))")
        for place in (
            "",
            "datasets",
            f"datasets?dataset={dataset}",
            "verifiers",
            "verifiers?verifier=new",
            f"verifiers?verifier={verifier}",
            f"new_job?dataset={dataset}",
            "jobs",
            f"job?job={job}",
            f"job?job={job}&view=Settings",
            f"job?job={ended}",
            *(f"job?job={ended}&view={quote(view)}" for view in OF_A_JOB),
            f"job?job={ended}&view=Completions&rollout=rollout-1-0",
            f"job?job={ended}&view=Completions&group=1-0",
            "compare",
            "compare?comparison=new",
            "models",
            "models?model=starter",
            *(f"models?model={adapter}&view={quote(view)}" for view in ("Card", "Use it", "Downloads", "Manifest")),
            "playground",
            f"playground?left=starter&right={adapter}",
            *(f"settings?section={name}" for name in ("You", "Keys", "People", "Audit", "Webhooks", "Workers")),
        ):
            page.goto(f"{ui}/{place}")
            expect(page.get_by_role("button", name="Sign out")).to_be_visible()
            settled(page)
            found += faults(page, axe)
        page.context.close()
    assert not found, "\n".join(sorted(set(found)))
