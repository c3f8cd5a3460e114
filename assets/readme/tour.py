"""Takes the README's tour of a running page (`make run`): python assets/readme/tour.py http://127.0.0.1:7860

Drives Debian's chromium through a handful of turns and writes a frame of each, as WebP, into tour/ beside this file.
The Chinese frame needs a Chinese font (fonts-wqy-zenhei).
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).with_name("tour")
PHOTO = Path(__file__).parents[1] / "examples" / "sailing-boat.jpg"
DESKTOP = {"viewport": {"width": 960, "height": 760}}
PHONE = {"viewport": {"width": 390, "height": 760}, "color_scheme": "dark", "is_mobile": True, "has_touch": True}
PATIENCE = 600_000  # ms; the first answer waits for the model
MOST = 40_000  # bytes of a frame
IDLE = "#box [data-testid=submit-button]"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        _conversation(browser)
        _chinese(browser)
        _phone(browser)
        _several(browser)
        browser.close()


def _conversation(browser: Browser) -> None:
    page = _open(browser, locale="en-US", **DESKTOP)
    _ask(page, "What is the capital of France?")
    page.locator("#chat .bot-row").last.hover()  # its timings show
    _frame(page, "01-words")
    _attach(page, PHOTO)
    _ask(page, "What is in this picture?")
    page.locator("button.do[name=received]").last.click()
    page.wait_for_selector("#chat .received img")
    _frame(page, "02-photo")
    _send(page, "Make a video of a rocket flying up")
    page.wait_for_selector("#chat .making progress:not([value='0'])")
    _frame(page, "03-making")
    _rest(page)
    _ask(page, "Draw a red apple")
    _frame(page, "04-picture")
    page.locator("button.do[name=remake]").last.click()
    page.wait_for_selector("#chat .actions .versions")
    _rest(page)
    _frame(page, "05-again")
    page.locator("button.do[name=use]").last.click()
    page.wait_for_selector("#box .thumbnail-item")
    _ask(page, "What is this?")
    _frame(page, "06-input")
    page.locator("button.do.sliders").click()
    page.wait_for_selector("#settings .estimate p")
    _frame(page, "07-settings")
    page.context.close()


def _chinese(browser: Browser) -> None:
    page = _open(browser, locale="zh-CN", **DESKTOP)
    page.locator("#chat .card.example_make_image").click()
    page.wait_for_selector("#chat .user-row")
    _rest(page)
    _frame(page, "08-chinese")
    page.context.close()


def _phone(browser: Browser) -> None:
    page = _open(browser, locale="en-US", **PHONE)
    _ask(page, "Draw a sailing boat at sunset")
    _frame(page, "09-phone")
    page.context.close()


def _several(browser: Browser) -> None:
    """Where the checkpoint makes more than pictures."""
    page = _open(browser, locale="en-US", **DESKTOP)
    example = page.locator("#chat .card.example_several")
    if example.count():
        example.click()
        page.wait_for_selector("#chat .user-row")
        _rest(page)
        _frame(page, "10-several")
    page.context.close()


def _open(browser: Browser, **settings: object) -> Page:
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(sys.argv[1])
    page.wait_for_selector("#chat .card")
    return page


def _attach(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_test_id("upload-button").click()
    chooser.value.set_files(file)
    page.wait_for_selector("#box .thumbnail-item")


def _send(page: Page, text: str) -> None:
    asked = page.locator("#chat .user-row").count()
    page.locator("#box textarea").fill(text)
    page.locator("#box textarea").press("Enter")
    page.wait_for_function(f"document.querySelectorAll('#chat .user-row').length > {asked}")


def _ask(page: Page, text: str) -> None:
    _send(page, text)
    _rest(page)


def _rest(page: Page) -> None:
    page.wait_for_selector(IDLE)
    page.wait_for_function("[...document.querySelectorAll('#chat img')].every((image) => image.complete)")


def _frame(page: Page, name: str) -> None:
    """As good as it can be in MOST bytes."""
    page.wait_for_timeout(1000)  # the chat scrolls to its end
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for quality in range(85, 0, -5):
        packed = io.BytesIO()
        picture.save(packed, format="WEBP", quality=quality, method=6)
        if packed.tell() <= MOST:
            break
    (FOLDER / f"{name}.webp").write_bytes(packed.getvalue())
    print(f"{name}: {packed.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    main()
