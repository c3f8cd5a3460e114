"""What a visitor can do with a conversation, in a real browser: again, versions, edit, take back, export and import."""

from __future__ import annotations

import zipfile

import pytest

from tests.page.conftest import IDLE, ask, attach, last_answer, open_tab, press, send, serve
from tests.page.scripted import ScriptedModel, make


def questions(tab) -> list[str]:
    return tab.locator("#chat .said").all_inner_texts()


def titles(tab) -> list[str]:
    return tab.locator("#list button[name=open]").all_inner_texts()


def settle(tab) -> None:
    tab.wait_for_selector(IDLE)


def source(tab, index: int = 0) -> str:
    return tab.locator("#chat .made img").nth(index).get_attribute("src")


def test_the_answer_again_is_a_version_beside_the_first(tab, served):
    ask(tab, "tell me")
    press(tab, "again")
    tab.wait_for_selector("#chat .row .versions")
    settle(tab)
    assert "2/2" in tab.locator("#chat .row .versions").inner_text()
    assert questions(tab) == ["tell me"]
    assert served.model.seen[-1][1].sampling.temperature > 0  # other words, not the same again
    press(tab, "turn")
    tab.wait_for_function("document.querySelector('#chat .row .versions')?.innerText.includes('1/2')")


def test_one_medium_again_keeps_the_words_the_others_and_the_earlier_version(tab, served):
    ask(tab, "a picture and a sound")
    before, sound = source(tab), tab.locator("#chat .made audio").get_attribute("src")
    calls = len(served.model.seen)
    press(tab, "remake", 0)
    tab.wait_for_function("document.querySelector('#chat .actions .versions')?.innerText.includes('2/2')")
    settle(tab)
    assert len(served.model.seen) == calls + 1
    assert source(tab) != before
    assert tab.locator("#chat .made audio").get_attribute("src") == sound
    assert "Answer 1 to" in last_answer(tab)
    press(tab, "version", 0)
    tab.wait_for_function(f"document.querySelector('#chat .made img').getAttribute('src') === {before!r}")


def test_a_medium_that_failed_can_be_tried_alone(tab, served):
    served.model.forget = {"fail"}
    ask(tab, "fail a picture")
    assert "could not be made" in tab.locator("#chat .media-failed").inner_text()
    press(tab, "remake")
    tab.wait_for_selector("#chat .made img")
    settle(tab)
    assert tab.locator("#chat .note.failed").count() == 0


def test_a_fault_while_a_medium_is_made_again_is_told_at_that_medium(tab):
    ask(tab, "crash-again a picture")
    before = source(tab)
    press(tab, "remake")
    tab.wait_for_selector("#chat figure .note.failed")
    settle(tab)
    assert source(tab) == before
    ask(tab, "hello")
    assert "to: hello." in last_answer(tab)


def test_a_message_is_edited_with_its_files_and_the_old_one_stays_within_reach(tab, served, tmp_path):
    attach(tab, make("image", tmp_path, {"height": 32, "width": 48}))
    ask(tab, "look at this")
    ask(tab, "and then?")
    tab.locator("#chat .user-row").first.hover()
    press(tab, "edit", 0)
    tab.wait_for_selector("#box .thumbnail-item")
    assert tab.locator("#box textarea").input_value() == "look at this"
    assert "Editing" in tab.locator("#status").inner_text()
    send(tab, "look closely")
    tab.wait_for_function("document.querySelector('#chat .said')?.innerText === 'look closely'")
    settle(tab)
    assert questions(tab) == ["look closely"]
    assert len(served.model.seen[-1][0]) == 1
    assert served.model.seen[-1][0][0].media[0].modality == "image"
    assert tab.locator("#chat .sent img").evaluate("image => image.naturalWidth") == 48
    press(tab, "turn", 0)
    tab.wait_for_function("document.querySelectorAll('#chat .said').length == 2")
    assert questions(tab) == ["look at this", "and then?"]


def test_an_edit_can_be_left_off(tab):
    ask(tab, "first")
    tab.locator("#chat .user-row").first.hover()
    press(tab, "edit")
    press(tab, "cancel")
    tab.wait_for_function("document.querySelector('#box textarea').value === ''")
    ask(tab, "second")
    assert questions(tab) == ["first", "second"]


def test_taking_back_puts_words_and_files_into_the_box(tab, served, tmp_path):
    ask(tab, "stay")
    attach(tab, make("image", tmp_path, {"height": 16, "width": 16}))
    ask(tab, "a mistake")
    press(tab, "undo")
    tab.wait_for_selector("#box .thumbnail-item")
    assert tab.locator("#box textarea").input_value() == "a mistake"
    assert questions(tab) == ["stay"]
    send(tab, "better")
    tab.wait_for_function("document.querySelectorAll('#chat .said').length == 2")
    settle(tab)
    assert [message.text for message in served.model.seen[-1][0]][-1] == "better"
    assert len(served.model.seen[-1][0][-1].media) == 1


def test_a_medium_that_was_made_becomes_input_at_one_click(tab, served):
    ask(tab, "a clip")
    press(tab, "use")
    tab.wait_for_selector("#box .thumbnail-item")
    ask(tab, "what happens here")
    assert served.model.seen[-1][0][-1].media[0].modality == "video"
    assert "I got a video" in last_answer(tab)


@pytest.mark.parametrize(
    ("kind", "line"),
    [("image", "20 × 20 pixels"), ("video", "8 frames of 20 × 20 pixels"), ("audio", "1 s in mono, 16 kHz")],
)
def test_what_the_model_got_is_shown_on_demand(tab, tmp_path, kind, line):
    attach(tab, make(kind, tmp_path, {"height": 32, "width": 48, "frames": 8, "seconds": 1.0}))
    ask(tab, "look")
    assert tab.locator("#chat .received").count() == 0
    press(tab, "received")
    tab.wait_for_selector("#chat .received small")
    assert tab.locator("#chat .received small").inner_text() == line
    if kind != "audio":
        tab.wait_for_function("document.querySelector('#chat .received img').naturalWidth > 0")
    press(tab, "received")
    tab.wait_for_selector("#chat .received", state="detached")


def test_like_and_dislike_are_kept_with_the_conversation(tab):
    ask(tab, "hello")
    press(tab, "like")
    tab.wait_for_selector("#chat button.like.pressed")
    tab.reload()
    tab.wait_for_selector("#chat button.like.pressed")
    press(tab, "dislike")
    tab.wait_for_selector("#chat button.dislike.pressed")
    assert tab.locator("#chat button.like.pressed").count() == 0


def test_conversations_stand_in_a_list_and_survive_a_reload(tab):
    ask(tab, "about cats")
    press(tab, "new", 0)
    tab.wait_for_selector("#chat .card")
    ask(tab, "a picture of dogs")
    tab.wait_for_function("document.querySelectorAll('#list li').length == 2")
    assert titles(tab) == ["a picture of dogs", "about cats"]
    tab.reload()
    tab.wait_for_function("document.querySelector('#chat .made img')?.naturalWidth == 64")
    assert questions(tab) == ["a picture of dogs"]
    tab.locator("#list button[name=open]").nth(1).click()
    tab.wait_for_function("document.querySelector('#chat .said')?.innerText === 'about cats'")
    ask(tab, "more")
    assert last_answer(tab).startswith("Answer 2")


def test_a_conversation_and_all_files_are_deleted_when_asked(tab, served):
    tab.on("dialog", lambda dialog: dialog.accept())
    ask(tab, "a picture")
    picture = f"{served.address}{source(tab)}"
    assert tab.request.get(picture).status == 200
    ask(tab, "more")
    press(tab, "clear")
    tab.wait_for_selector("#chat .card")
    assert titles(tab) == []
    assert tab.request.get(picture).status in (403, 404)
    ask(tab, "one more")
    press(tab, "delete_all")
    tab.wait_for_selector("#chat .card")
    assert titles(tab) == []


def test_another_visitor_sees_and_gets_nothing(tab, chromium, served):
    ask(tab, "a picture that is mine")
    mine, picture = tab.url, f"{served.address}{source(tab)}"
    for other in open_tab(chromium, mine):
        other.wait_for_selector("#chat .card")
        assert questions(other) == titles(other) == []
        assert other.request.get(picture).status == 403


def test_an_export_comes_in_again(tab, tmp_path):
    ask(tab, "a picture and a sound")
    with tab.expect_download() as download:
        press(tab, "export")
    packed = tmp_path / "talk.zip"
    download.value.save_as(packed)
    assert "conversation.html" in zipfile.ZipFile(packed).namelist()
    with tab.expect_file_chooser() as chooser:
        tab.locator("#import").click()
    chooser.value.set_files(packed)
    tab.wait_for_function("document.querySelectorAll('#list li').length == 2")
    tab.wait_for_function("document.querySelector('#chat .made img')?.naturalWidth == 64")
    ask(tab, "go on")
    assert last_answer(tab).startswith("Answer 2")


def test_what_is_no_export_is_told(tab, tmp_path):
    (tmp_path / "talk.zip").write_bytes(b"PK no")
    with tab.expect_file_chooser() as chooser:
        tab.locator("#import").click()
    chooser.value.set_files(tmp_path / "talk.zip")
    tab.wait_for_selector("text=This is no conversation that was exported here.")


def test_examples_answer_at_one_click(tab, served):
    tab.wait_for_selector("#chat .card")
    kinds = tab.locator("#chat .card b").all_inner_texts()
    assert len(kinds) == len(set(kinds)) == 8
    tab.locator("#chat .card.example_read_image").click()
    tab.wait_for_selector("#chat .bot-row")
    settle(tab)
    assert "I got an image" in last_answer(tab)
    tab.wait_for_function("document.querySelector('#chat .sent img').naturalWidth > 100")


def test_switches_and_settings_reach_the_model(tab, served):
    press(tab, "toggle", 1)
    tab.locator("#wanted-image label").nth(1).click()
    tab.locator("#set-image-steps input[type=number]").fill("4")
    tab.locator("#set-image-steps input[type=number]").press("Tab")
    tab.locator("#set-seed textarea, #set-seed input").fill("5")
    ask(tab, "hello")
    tab.wait_for_selector("#chat .made img")
    assert "seed 5 · 4 steps" in tab.locator("#chat .provenance").inner_text()
    tab.locator("#wanted-image label").nth(2).click()
    ask(tab, "a picture")
    assert tab.locator("#chat .made").count() == 1
    tab.locator("#defaults").click()
    tab.wait_for_function("document.querySelector('#set-image-steps input[type=number]').value === '10'")
    ask(tab, "another picture")
    assert tab.locator("#chat .made").count() == 2


def test_what_a_medium_takes_is_said_in_the_panel_once_it_is_known(chromium, tmp_path):
    for new in serve(ScriptedModel(), tmp_path):
        for tab in open_tab(chromium, new.address):
            ask(tab, "hello")
            press(tab, "toggle", 1)
            tab.wait_for_selector("#set-image-steps")
            lefts = [
                group.bounding_box()["x"] for group in tab.locator("#settings .settings:not(.settings .settings)").all()
            ]
            assert len(lefts) == 4 and len(set(lefts)) == 1  # one below the other, however many there are
            assert tab.locator("#settings .estimate p").count() == 0
            ask(tab, "a picture")
            tab.wait_for_selector("#estimate-image >> text=a picture takes about 1 s")
            tab.locator("#set-image-steps input[type=number]").fill("50")
            tab.locator("#set-image-steps input[type=number]").press("Tab")
            tab.wait_for_selector("#estimate-image >> text=a picture takes about 2 s")
            assert tab.locator("#settings .estimate p").count() == 1


def test_timings_stand_below_the_answer(tab):
    ask(tab, "hello")
    assert tab.locator("#chat .timings").inner_text() == "first word after 0.1 s · 50 tokens/s"
