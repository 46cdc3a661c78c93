"""Live pages: changes appear without a click."""

import io

import pytest
from playwright.sync_api import expect

from frontend.api import Client, new_connections
from tests.browser.profiles import Browser
from tests.browser.steps import sign_in
from tests.frontend.trained import ended
from tests.processes import Addresses
from tests.service.conftest import job_body

ROWS = b"".join(b'{"question": "%d + 1?", "answer": "%d"}\n' % (n, n + 1) for n in range(12))


@pytest.mark.timeout(120)
def test_the_list_of_comparisons_shows_when_one_has_ended(browser: Browser, addresses: Addresses, key: str) -> None:
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        file = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)
        job = {name: value for name, value in job_body(file["id"]).items() if name != "seed"}
        arms = [{"name": name, "x_rlsd": {"method": name}} for name in ("grpo", "rlsd")]
        made = client.create_comparison({"name": "which", "job": job, "arms": arms, "seeds": [0]})
    page = browser.open_page()
    page.goto(f"{addresses.ui}/compare")
    sign_in(page, key)
    row = page.locator(f".st-key-row_{made['id']}")
    expect(row).to_contain_text("0 of 2 runs ended")
    for run in made["runs"]:
        ended(run["job"])
    expect(row).to_contain_text("2 of 2 runs ended", timeout=15_000)
    expect(row).to_contain_text("Ended")
