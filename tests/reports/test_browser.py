"""The report in a real browser: it is silent, asks for nothing, and is as wide as the window."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import write_memory

import memcli

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with sync.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


def test_the_page_is_silent_asks_for_nothing_and_fits(browser: Any, tmp_path: Path) -> None:
    classes = ("<script>alert(1)</script>", "an_unbroken_name_" * 10, "c")
    memory = write_memory(tmp_path / "a.safetensors", classes=classes)
    source = replace(memcli.open_source("fake:classes=3,shape=1x8x8,n=30,test=30"), classes=classes)
    memcli.report(memory, tmp_path / "a.html", data=source, runs=1, device="cpu")
    papers = {}
    for scheme in ("light", "dark"):
        for width in (360, 1400):
            said: list[str] = []
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, said=said: said.append(request.url))
            page.goto((tmp_path / "a.html").as_uri())
            assert [line for line in said if not line.startswith(("file:", "data:"))] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
            papers[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert papers[scheme] != "rgba(0, 0, 0, 0)", "the style was refused"
            page.close()
    assert papers["light"] != papers["dark"]
