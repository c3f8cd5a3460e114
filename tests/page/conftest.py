"""A page with the scripted model for the client tests, and Debian's chromium for the browser tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from gradio_client import Client

from nextgpt_core.page import layout
from nextgpt_core.page.store.limits import Limits
from nextgpt_core.page.talk.lane import Lane, Model
from tests.page.scripted import ScriptedModel

Result = TypeVar("Result")

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream "
    "--autoplay-policy=no-user-gesture-required"
).split()


MANY = Limits(messages_a_minute=10_000, upload_bytes_an_hour=2**33, bytes_on_disk=2**33)


@dataclass
class Served:
    """A running page: its address, its model and the folder in which it keeps conversations."""

    address: str
    model: Model
    folder: Path


def serve(model: Model, folder: Path, limits: Limits = MANY, **launching: object) -> Iterator[Served]:
    lane = Lane(lambda: model)
    page = layout.build(lane, folder, model.config, limits)
    address = layout.launch(page, folder, limits=limits, **launching)
    lane.open()
    yield Served(address, model, folder)
    page.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(ScriptedModel(), tmp_path_factory.mktemp("conversations"))


def apart(work: Callable[..., Result], *arguments: object) -> Result:
    """Calls `work` in a thread of its own: Playwright leaves a running event loop in the tests' thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def connect(served: Served, **settings: object) -> Client:
    """A client that is patient with a busy machine."""
    return Client(served.address, verbose=False, httpx_kwargs={"timeout": 300}, **settings)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory):
    """Debian's chromium through Playwright."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("the browser tests need Debian's chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, served: Served):
    """A fresh visitor's tab on the page; a script error in it fails the test."""
    yield from open_tab(chromium, served.address)


def open_tab(chromium, address: str, **settings):
    context = chromium.new_context(**{"viewport": {"width": 1100, "height": 900}, "locale": "en-US", **settings})
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#box textarea")
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def held(served):
    """The model, which stays in the middle of a `hold` turn until its `go` is set."""
    served.model.go.clear()
    yield served.model
    served.model.go.set()


IDLE = "#box [data-testid=submit-button]"  # shown only while nothing is being answered


def send(tab, text: str) -> None:
    box = tab.locator("#box textarea")
    box.fill(text)
    box.press("Enter")


def ask(tab, text: str) -> None:
    """Sends, and waits for the end of the answer."""
    asked = tab.locator("#chat .user-row").count()
    send(tab, text)
    tab.wait_for_function(f"document.querySelectorAll('#chat .user-row').length > {asked}")
    tab.wait_for_selector(IDLE)


def press(tab, name: str, number: int | None = None) -> None:
    """Clicks the button that does this; the last one on the page unless a number is given."""
    buttons = tab.locator(f"button.do[name={name}]")
    (buttons.last if number is None else buttons.nth(number)).click()


def last_answer(tab) -> str:
    """The words of the last answer, without the buttons below it."""
    words = tab.locator("#chat .bot-row").last.locator(".prose").all()
    return "\n".join(part.inner_text() for part in words if not part.locator(".row").count()).strip()


def attach(tab, *files: Path) -> None:
    with tab.expect_file_chooser() as chooser:
        tab.get_by_test_id("upload-button").click()
    chooser.value.set_files(files)
    tab.wait_for_function(f"document.querySelectorAll('#box .thumbnail-item').length == {len(files)}")
