"""Measures the page in Debian's chromium: python -m assets.readme.pace [--checkpoint DIR] [--runs N]

Prints two medians: the seconds from the start of navigation until the message box can be used, and those from the
model's first token to the first words on screen. It serves a page of its own, so that both ends read one clock.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from nextgpt_core import checkpoint
from nextgpt_core.conversation import Event, TextDelta
from nextgpt_core.page import layout
from nextgpt_core.page.talk.lane import Lane

QUESTIONS = ("Tell me a joke.", "What is the capital of France?", "Which season is the best for a walk?")
WATCH = """
    const look = () => {
        const box = document.querySelector("#box textarea");
        if (box && !box.disabled) window.usable ??= performance.now();
        const answers = [...document.querySelectorAll("#chat .bot-row")];
        const said = answers.at(-1)?.querySelector(".prose p");
        if (answers.length === window.awaited && said?.innerText.trim()) window.read ??= Date.now();
        requestAnimationFrame(look);
    };
    look();
"""


class Noting:
    """The model, and when it said the first token of each answer."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.spoke: list[float] = []

    def chat(self, *arguments: Any) -> Iterator[Event]:
        silent = True
        for event in self._model.chat(*arguments):
            if silent and isinstance(event, TextDelta) and event.text.strip():
                self.spoke.append(time.time())
                silent = False
            yield event

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.POCKET, metavar="DIR")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    model = Noting(checkpoint.load(args.checkpoint, "auto"))
    lane = Lane(lambda: model)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = layout.build(lane, Path(folder), model.config)
        address = layout.launch(page, Path(folder))
        lane.open()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        usable, delays = [], []
        for _ in range(args.runs):
            tab = browser.new_context(locale="en-US").new_page()
            tab.set_default_timeout(300_000)
            tab.add_init_script(WATCH)
            tab.goto(address)
            tab.wait_for_selector("#chat .card")
            usable.append(tab.evaluate("window.usable") / 1000)
            for count, question in enumerate(QUESTIONS, start=1):
                tab.evaluate(f"() => {{ window.awaited = {count}; window.read = undefined; }}")
                tab.locator("#box textarea").fill(question)
                tab.locator("#box textarea").press("Enter")
                tab.wait_for_function("window.read")
                delays.append(tab.evaluate("window.read") / 1000 - model.spoke[-1])
                tab.wait_for_selector("#box [data-testid=submit-button]")
            tab.context.close()
        browser.close()
        page.close()
    for name, values in (("page usable", usable), ("first token to first words on screen", delays)):
        median, least, most = statistics.median(values), min(values), max(values)
        print(f"{name}: {median:.2f} s (from {least:.2f} to {most:.2f}, {len(values)} times)")


if __name__ == "__main__":
    main()
