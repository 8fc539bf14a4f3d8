"""A headless Chromium for the tests of pages; where there is none, they are skipped with the reason."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",  # which root needs
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A driver with a profile of its own, which keeps a log of requests and of what the console said."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip("selenium.webdriver", reason="no selenium: pip install 'tfnorm[test]'")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        made = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
        try:
            yield made
        finally:
            made.quit()


def open_page(driver: Any, path: Path, *, width: int = 1280, dark: bool = False) -> list[str]:
    """Open a file, in that width and theme; gives every URL that was asked for."""
    phone = width < 500
    size = {"width": width, "height": 844 if phone else 900, "deviceScaleFactor": 1, "mobile": phone}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    for kind in ("performance", "browser"):
        driver.get_log(kind)
    driver.get(path.as_uri())
    return requests(driver)


def requests(driver: Any) -> list[str]:
    """What was asked for since the last question, but for the data that are in the page."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:")]


def console(driver: Any) -> list[str]:
    """What the console has said."""
    return [f"{entry['level']}: {entry['message']}" for entry in driver.get_log("browser")]
