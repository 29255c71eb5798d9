"""A headless Chromium that notices errors and requests."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
WIDTHS = (390, 1024, 1920)


def require() -> None:
    """Skip the test without a browser, or fail it where there has to be one (``.ci/run``)."""
    if not (CHROMIUM and DRIVER):
        why = "no Chromium: apt-get install chromium chromium-driver"
        pytest.fail(why) if os.environ.get("GANAS_NEEDS_CHROMIUM") else pytest.skip(why)
    pytest.importorskip("selenium")


class Browser:
    """One tab. `check` says whether anything went wrong since the last call."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def open(self, page: Path | str, *, width: int = 1024, height: int = 900, dark: bool = False) -> None:
        """Open a file or an address at a window size and a color scheme."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Call a script with its arguments; the page's security policy does not apply to it."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str, *arguments: Any, seconds: float = 10) -> Any:
        """Wait until an expression is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda _: self.run(f"return ({condition})", *arguments)
        )

    def draw(self) -> None:
        """Have every plot drawn."""
        self.run("document.querySelectorAll('[data-chart]').forEach((one) => one.scrollIntoView())")
        self.run("window.dispatchEvent(new Event('beforeprint'))")
        self.wait("[...document.querySelectorAll('.plot')].every((one) => one.querySelector('svg'))")

    def set(self, selector: str, value: str) -> None:
        """Choose a value of a control as a reader does."""
        self.run(
            "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, {bubbles: true}))",
            selector,
            value,
        )

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector)).strip()

    def errors(self) -> list[str]:
        """What the console said."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for, without those inside the page."""
        messages = (json.loads(line["message"])["message"] for line in self.driver.get_log("performance"))
        sent = (one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent")
        return [url for url in sent if not url.startswith(("data:", "blob:"))]


@contextmanager
def opened(downloads: Path) -> Iterator[Browser]:
    """Start Chromium, and end it."""
    require()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": False}
        )
        yield Browser(driver, downloads)
    finally:
        driver.quit()
