"""The page in a real browser: what a visitor sees and does. Skipped, with a word, where there is no chromium."""

from __future__ import annotations

import pytest

from tests.page.conftest import IDLE, ask, attach, last_answer, open_tab, send
from tests.page.scripted import make


def test_media_of_every_kind_really_load(tab):
    ask(tab, "a picture a clip and a sound")
    tab.wait_for_function("document.querySelector('#chat img').naturalWidth == 64")
    for kind in ("video", "audio"):
        tab.wait_for_function(f"document.querySelector('#chat {kind}').readyState >= 1")
        assert tab.evaluate(f"document.querySelector('#chat {kind}').error") is None
    assert tab.evaluate("document.querySelector('#chat video').videoWidth") == 64
    assert tab.locator("#chat img").get_attribute("alt") == "A picture of a picture a clip and a sound"
    assert tab.locator("#chat figcaption").count() == 3


def test_words_are_shown_while_more_are_to_come(tab, held):
    send(tab, "hold on please")
    tab.wait_for_function("/Answer 1/.test(document.querySelector('#chat .bot-row')?.innerText)")
    assert "please" not in last_answer(tab)
    held.go.set()
    tab.wait_for_selector(IDLE)
    assert last_answer(tab) == "Answer 1 to: hold on please."


def test_a_card_shows_the_steps_where_the_medium_will_be(tab, held):
    send(tab, "hold a picture")
    small = "document.querySelector('#chat small')?.innerText"
    tab.wait_for_function(f"/^step 3 of 10 · about \\d+ s left$/.test({small})")
    card = tab.locator("#chat .image .frame").bounding_box()
    held.go.set()
    tab.wait_for_selector("#chat .image img")
    picture = tab.locator("#chat .image .frame").bounding_box()
    assert (card["width"], card["height"]) == (picture["width"], picture["height"])


@pytest.mark.parametrize("moment", ["words", "picture", "clip", "sound"])
def test_stop_works_in_the_middle_of_a_step_and_the_next_message_is_answered(tab, held, moment):
    send(tab, f"hold the {moment}")
    tab.wait_for_selector("#chat .bot-row p" if moment == "words" else "#chat progress[value='3']")
    tab.locator("#box .stop-button").click()
    tab.wait_for_selector("#chat .note.stopped")
    assert held.running == 1  # the step goes on, the page does not wait for it
    assert tab.locator("#chat progress").count() == 0
    held.go.set()
    ask(tab, "hello")
    assert last_answer(tab).endswith("to: hello.")
    assert held.running == 0


def test_a_clip_plays_on_while_words_arrive(tab):
    ask(tab, "a clip")
    tab.evaluate("() => { window.clip = document.querySelector('#chat video'); clip.play() }")
    ask(tab, "slow words")
    assert tab.evaluate("clip.isConnected && !clip.paused && clip === document.querySelector('#chat video')")


def test_files_go_with_the_message_and_are_shown(tab, served, tmp_path):
    attach(tab, make("image", tmp_path, {"height": 32, "width": 48}), make("audio", tmp_path, {"seconds": 0.5}))
    ask(tab, "look")
    assert {"I got an image", "I got an audio"} <= set(last_answer(tab).split(": look. ")[1].rstrip(".").split(". "))
    tab.wait_for_function("document.querySelector('#chat .sent img').naturalWidth == 48")
    assert tab.locator("#box .thumbnail-item").count() == 0


def test_a_file_that_cannot_be_read_is_answered_by_one_line(tab, tmp_path):
    fake = tmp_path / "fake.png"
    fake.write_text("I am no picture.")
    attach(tab, fake)
    ask(tab, "look")
    assert "fake.png is text" in tab.locator("#chat .note.failed").inner_text()
    ask(tab, "hello")
    assert last_answer(tab) == "Answer 1 to: hello."


@pytest.mark.parametrize("fault", ["crash", "memory"])
def test_a_fault_leaves_the_conversation_usable(tab, fault):
    ask(tab, fault)
    assert "Reference: " in tab.locator("#chat .note.failed").inner_text()
    ask(tab, "hello")
    assert last_answer(tab) == "Answer 1 to: hello."


def test_what_is_written_is_shown_as_written_and_loads_nothing(tab):
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    hostile = "<img src=http://127.0.0.1:9/a> ![](http://127.0.0.1:9/b)\n\n<script>window.bad=1</script> **[IMG0]**"
    box = tab.locator("#box textarea")
    box.fill(hostile)
    box.press("Enter")
    tab.wait_for_selector("#chat .bot-row p")
    tab.wait_for_selector(IDLE)
    assert tab.locator("#chat .said").inner_text() == hostile
    assert not [url for url in asked if ":9/" in url]
    assert tab.evaluate("window.bad") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(chromium, served, scheme):
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme, "is_mobile": True, "has_touch": True}
    for tab in open_tab(chromium, served.address, **phone):
        ask(tab, "a picture with " + "averyveryverylongword" * 10)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.locator("#box").bounding_box()["y"] < 844
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_answer_speaks_the_visitors_language(chromium, served):
    for tab in open_tab(chromium, served.address, locale="zh-CN"):
        ask(tab, "crash")
        assert "对话可以继续" in tab.locator("#chat .note.failed").inner_text()


def test_reasons_speak_the_visitors_language(chromium, served, tmp_path):
    (tmp_path / "photo.png").write_text("only words")
    for tab in open_tab(chromium, served.address, locale="zh-CN"):
        attach(tab, tmp_path / "photo.png")
        ask(tab, "look")
        assert "photo.png 是文本" in tab.locator("#chat .note.failed").last.inner_text()
        ask(tab, "fail picture")
        assert "图片未能生成" in tab.locator("#chat .note.failed").last.inner_text()


def test_nothing_is_asked_of_anybody_else(chromium, served):
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(60_000)
    page.goto(served.address)
    page.wait_for_selector("#box textarea")
    ask(page, "a picture")
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []


def test_a_picture_is_pasted(tab, tmp_path):
    data = list(make("image", tmp_path, {"height": 16, "width": 16}).read_bytes())
    paste = """(textarea, data) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(data)], "pasted.png", { type: "image/png" }));
        textarea.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
    }"""
    tab.locator("#box textarea").evaluate(paste, data)
    tab.wait_for_selector("#box .thumbnail-item")
    ask(tab, "look")
    assert "I got an image" in last_answer(tab)


def test_the_microphone_records(tab):
    """Chromium's fake device beeps."""
    tab.get_by_test_id("microphone-button").click()
    tab.locator("#box .record-button").click()
    tab.wait_for_timeout(1500)
    tab.locator("#box .stop-button").first.click()
    tab.locator("#box .confirm-button, #box [aria-label='Attach']").first.click()
    tab.wait_for_selector("#box .thumbnail-item")
    ask(tab, "listen")
    assert "I got an audio" in last_answer(tab)


def test_the_camera_takes_a_picture(tab, served):
    """Chromium's fake device shows a pattern."""
    tab.locator("#box button[name=camera]").click()
    tab.wait_for_function("document.querySelector('#camera video').videoWidth > 0")
    tab.locator("#camera button[name=shoot]").click()
    tab.wait_for_selector("#box .thumbnail-item")
    assert not tab.locator("#camera dialog").is_visible()
    assert tab.evaluate("document.querySelector('#camera video').srcObject") is None  # its light is out
    ask(tab, "look")
    assert "I got an image" in last_answer(tab)
    assert tab.locator("#chat .sent img").evaluate("image => image.decode().then(() => image.naturalWidth)") >= 640


def test_a_camera_that_is_not_given_is_told_and_left(tab):
    tab.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error()); }")
    tab.locator("#box button[name=camera]").click()
    tab.wait_for_selector("#camera >> text=The camera cannot be used.")
    assert not tab.locator("#camera button[name=shoot]").is_visible()
    tab.locator("#camera button[name=leave]").click()
    assert not tab.locator("#camera dialog").is_visible()


def test_labels_speak_the_visitors_language(chromium, served):
    for tab in open_tab(chromium, served.address, locale="zh-CN"):
        tab.wait_for_selector("#chat .card")
        tab.locator("button.do.sliders").click()
        tab.wait_for_selector("#set-image-steps >> text=步数")
        assert "输入消息" in tab.locator("#box textarea").get_attribute("placeholder")
        assert "生成图片" in tab.locator("#chat .card.example_make_image").inner_text()
        assert "新对话" in tab.locator("#list").inner_text()


def test_the_two_panels_open_and_close(chromium, served):
    for width, open_at_first in ((1100, True), (390, False)):
        for tab in open_tab(chromium, served.address, viewport={"width": width, "height": 800}):
            tab.wait_for_selector("#chat .card")
            for name, button in (("side", "menu"), ("settings", "sliders")):
                shown = tab.locator(f"#{name}").is_visible()
                assert shown == (open_at_first and name == "side")
                tab.locator(f"button.do.{button}").click()
                assert tab.locator(f"#{name}").is_visible() != shown
                tab.locator(f"button.do.{button}").click()
