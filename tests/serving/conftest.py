"""The browser end of the serving tests: the bundle, Chromium, a page and its server."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qmachina.errors import QMachinaError
from serving import build, frames
from tests.serving.served import Server, Tape, make_config, wait_until


class _Handler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        # The policy the real server sends: the bundle must work under it.
        self.send_header("Content-Security-Policy", "default-src 'self'")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def bundle() -> Path:
    try:
        build.find_node()
    except QMachinaError as e:
        if not build.is_current():
            pytest.skip(str(e))
    return build.build()


@pytest.fixture(scope="session")
def site(bundle: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(bundle))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def chromium() -> str:
    named = os.environ.get("QMACHINA_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = named or next((path for n in names if (path := shutil.which(n))), None)
    if found is None:
        pytest.skip("no Chromium: install one or name it in QMACHINA_CHROMIUM")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A browser for one module: while it runs, its event loop occupies this thread."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=chromium,
            headless=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield instance
        instance.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that fails its test on any console error, exception or failed request."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 720}, device_scale_factor=getattr(request, "param", 1)
    )
    opened = context.new_page()
    faults: list[str] = []

    def said(message: Any) -> None:
        # Reading many pixels back is what tests do; the advice is not for the page.
        advice = "Multiple readback operations" in message.text
        if message.type in ("error", "warning") and not advice:
            faults.append(f"console {message.type}: {message.text}")

    def answered(response: Any) -> None:
        if response.status >= 400:
            faults.append(f"{response.status} {response.url}")

    opened.on("console", said)
    opened.on("pageerror", lambda error: faults.append(f"exception: {error}"))
    opened.on("requestfailed", lambda request: faults.append(f"request failed: {request.url}"))
    opened.on("response", answered)
    yield opened
    context.close()
    assert faults == []


@pytest.fixture
def make_server(page: Any, site: str) -> Any:
    """Open the page against a test server: ``make_server(config, tape) -> Server``."""

    def make(config: frames.RuntimeConfig | None = None, tape: Tape | None = None) -> Server:
        config = config or make_config()
        server = Server(page, config, tape or Tape(radius=config.grid_radius_ticks))
        page.goto(f"{site}/?serving=demo")
        wait_until(page, "window.__qm.state().epoch !== null")
        return server

    return make
