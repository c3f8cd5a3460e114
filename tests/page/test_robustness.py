"""The page under many hands and in bad moments: visitors at once, reloads, faults, long talks, an idle server."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import pytest
from gradio_client import Client

from nextgpt_core.config import ConfigError
from nextgpt_core.page import layout
from nextgpt_core.page.store.limits import Limits
from nextgpt_core.page.talk.lane import Lane
from tests.page.conftest import IDLE, MANY, Served, ask, connect, last_answer, open_tab, send, serve
from tests.page.scripted import CONFIG, ScriptedModel


def test_ten_visitors_at_once_keep_their_own_conversations_in_order(served):
    served.model.most_running = 0
    answers: dict[int, list[tuple[str, int]]] = {}

    def visit(number: int) -> None:
        client = connect(served)
        said = []
        for turn in range(2):
            message = {"text": f"visitor {number} turn {turn} a picture", "files": []}
            text, files = client.predict(message, api_name="/chat")
            said.append((text, len(files)))
        answers[number] = said

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(10)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert answers == {
        number: [(f"Answer {turn + 1} to: visitor {number} turn {turn} a picture.", 1) for turn in range(2)]
        for number in range(10)
    }
    assert served.model.most_running == 1


def test_a_reload_in_the_middle_loses_nothing_and_the_answer_goes_on(tab, held):
    send(tab, "hold a picture")
    tab.wait_for_selector("#chat progress[value='3']")
    tab.reload()
    tab.wait_for_selector("#chat progress[value='3']")
    held.go.set()
    tab.wait_for_selector("#chat .made img")
    tab.wait_for_selector(IDLE)
    ask(tab, "next")
    assert last_answer(tab) == "Answer 2 to: next."


def test_a_second_tab_sees_the_answer_grow(tab, held):
    send(tab, "hold on please")
    tab.wait_for_function("/Answer 1/.test(document.querySelector('#chat .bot-row')?.innerText)")
    other = tab.context.new_page()
    other.goto(tab.url)
    other.wait_for_function("/Answer 1/.test(document.querySelector('#chat .bot-row')?.innerText)")
    held.go.set()
    other.wait_for_function("/please\\./.test(document.querySelector('#chat .bot-row')?.innerText)")
    other.close()


def test_a_full_line_is_refused_with_a_time_to_come_back(chromium, served, held, monkeypatch):
    monkeypatch.setattr("nextgpt_core.page.talk.lane.MAX_WAITING", 0)
    for first in open_tab(chromium, served.address):
        send(first, "hold a picture")
        first.wait_for_selector("#chat progress[value='3']")
        for second in open_tab(chromium, served.address):
            send(second, "let me in")
            told = second.wait_for_selector("text=Too many people are waiting just now.").inner_text()
            assert "try again in" in told
            assert second.locator("#box textarea").input_value() == "let me in"
            held.go.set()
            first.wait_for_selector(IDLE)
            second.locator("#box textarea").press("Enter")
            second.wait_for_selector("#chat .bot-row")


def test_who_waits_is_told_the_place_in_the_line(chromium, served, held):
    for first in open_tab(chromium, served.address):
        send(first, "hold a picture")
        first.wait_for_selector("#chat progress[value='3']")
        for second in open_tab(chromium, served.address):
            send(second, "hello")
            second.wait_for_selector("#status >> text=One message is before yours")
            held.go.set()
            second.wait_for_selector("#chat .bot-row p")


def test_too_many_messages_are_refused_with_a_time(tmp_path):
    for few in serve(ScriptedModel(), tmp_path, Limits(messages_a_minute=2)):
        client = connect(few)
        texts = [client.predict({"text": "hi", "files": []}, api_name="/chat")[0] for _ in range(3)]
        assert texts[1] == "Answer 2 to: hi."
        assert texts[2].startswith("That is a lot of messages in one minute. Please go on in ")


def test_a_full_store_is_told_before_anything_is_made(tmp_path):
    for small in serve(ScriptedModel(), tmp_path, Limits(bytes_on_disk=10)):
        client = connect(small)
        client.predict({"text": "a picture", "files": []}, api_name="/chat")
        calls = len(small.model.seen)
        assert "is what a visitor may keep" in client.predict({"text": "a picture", "files": []}, api_name="/chat")[0]
        assert len(small.model.seen) == calls


class Unloadable:
    """Stands where a checkpoint would be loaded, and says why it can't, as our own errors do."""

    def __call__(self) -> ScriptedModel:
        raise ConfigError("checkpoints/none has no trained.safetensors. Train it first.")


def test_a_model_that_can_not_be_loaded_is_told_in_plain_words(chromium, tmp_path):
    lane = Lane(Unloadable())
    page = layout.build(lane, tmp_path, CONFIG, MANY)
    address = layout.launch(page, tmp_path)
    lane.open()
    for tab in open_tab(chromium, address):
        tab.wait_for_selector("#status >> text=has no trained.safetensors. Train it first.")
        send(tab, "hello")
        tab.wait_for_selector("#chat .note.failed >> text=has no trained.safetensors.")
        tab.wait_for_selector(IDLE)
    page.close()


def test_a_login_keeps_strangers_out(tmp_path):
    for private in serve(ScriptedModel(), tmp_path, login=[("ann", "secret")]):
        with pytest.raises(Exception, match=r"(?i)auth|login|credentials|401"):
            Client(private.address, verbose=False).predict({"text": "hi", "files": []}, api_name="/chat")
        client = connect(private, auth=("ann", "secret"))
        assert client.predict({"text": "hi", "files": []}, api_name="/chat")[0] == "Answer 1 to: hi."


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def test_an_idle_page_leaves_the_processor_alone(served: Served):
    time.sleep(1.0)
    before = processor_seconds()
    time.sleep(4.0)
    assert processor_seconds() - before < 0.2  # of four seconds


def resources() -> tuple[int, int]:
    """Threads and open files of this process."""
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files the way Linux shows them")
def test_fifty_turns_with_media_leave_threads_files_and_memory_level(served, tmp_path):
    client = connect(served, download_files=tmp_path)

    def talk(turns: int) -> None:
        for _ in range(turns):
            client.predict(
                {"text": "a picture and a sound", "files": []}, {"image_steps": 1, "audio_steps": 1}, api_name="/chat"
            )

    def resident() -> int:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    talk(10)
    before, memory = resources(), resident()
    talk(40)
    after, grown = resources(), resident() - memory
    # thread pools may not have been full before; what forty turns leave behind would be more
    assert after[0] <= before[0] + 3
    assert after[1] <= before[1] + 3
    assert grown < 32 * 2**20
