"""Takes the README's picture of a conversation: python assets/readme/shoot.py http://127.0.0.1:7860

Asks a running page (`make run`) two questions in Debian's chromium and writes chat.webp beside this file.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

QUESTIONS = ("Draw a red apple", "And now a green one")
SIZE = {"width": 1040, "height": 1340}
PATIENCE = 600_000  # ms; the first answer waits for the model
IDLE = "#box [data-testid=submit-button]"


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, locale="en-US")
        page.set_default_timeout(PATIENCE)
        page.goto(sys.argv[1])
        page.wait_for_selector(".card")
        for number, question in enumerate(QUESTIONS, start=1):
            page.locator("#box textarea").fill(question)
            page.locator("#box textarea").press("Enter")
            page.wait_for_function(f"document.querySelectorAll('#chat .user-row').length == {number}")
            page.wait_for_selector(IDLE)
        page.wait_for_function("[...document.images].every((image) => image.complete)")
        page.wait_for_timeout(1000)  # the chat scrolls to its end
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    picture.convert("RGB").save(Path(__file__).with_name("chat.webp"), quality=82, method=6)


if __name__ == "__main__":
    main()
