"""Chromium profiles that tests share in turn, so that a page's scripts are compiled once a profile, not once a test."""

from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright

from tests.machine import chromium

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STILL = """
addEventListener("DOMContentLoaded", () => {
  const style = document.createElement("style");
  style.textContent = `*, *::before, *::after { animation: none !important; transition: none !important }
    [data-stale="true"] { opacity: 1 !important }`;
  document.head.append(style);
});
window.runs = 0;
new MutationObserver((changes) => {
  for (const { target } of changes) if (target.dataset.testScriptState === "running") window.runs += 1;
}).observe(document, { subtree: true, attributeFilter: ["data-test-script-state"] });
const animate = Element.prototype.animate;
Element.prototype.animate = function (...args) {
  const animation = animate.apply(this, args);
  animation.finish();
  return animation;
};
"""
"""No animations or fading: they cost time without a graphics card, and move buttons while these are pressed.

`window.runs` counts the runs of the page's script: during one, parts of the page are pale.
"""


class Browser:
    """Opens pages, each in a profile that no other open page uses."""

    def __init__(self, playwright: Playwright, folder: Path) -> None:
        self._playwright = playwright
        self._folder = folder
        self._profiles: list[BrowserContext] = []
        self._in_use = 0

    def open_page(self) -> Page:
        """Open a page as a visitor who has never been here."""
        if self._in_use == len(self._profiles):
            self._profiles.append(self._launch())
        self._in_use += 1
        return self._profiles[self._in_use - 1].new_page()

    def forget(self) -> None:
        """Close all pages, and clear all they have stored but the cache of files and compiled scripts."""
        for profile in self._profiles[: self._in_use]:
            blank, *pages = profile.pages
            for page in pages:
                page.close()
            session = profile.new_cdp_session(blank)
            session.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
            session.detach()
            profile.clear_cookies()
        self._in_use = 0

    def close(self) -> None:
        for profile in self._profiles:
            profile.close()

    def _launch(self) -> BrowserContext:
        profile = self._playwright.chromium.launch_persistent_context(
            self._folder / str(len(self._profiles)),
            executable_path=chromium(),
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 900},
            color_scheme="light",
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
            accept_downloads=True,
        )
        profile.add_init_script(STILL)
        profile.set_default_timeout(30_000)
        return profile
