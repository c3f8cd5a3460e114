"""A reply is what its events say, and the model is told exactly what it said."""

from __future__ import annotations

from nextgpt_core.conversation import (
    ChatOptions,
    MediaFailed,
    MediaProgress,
    MediaStarted,
    Message,
    Text,
    TextDelta,
    TurnDone,
)
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation
from tests.page.scripted import ScriptedModel


def asked(text: str) -> Message:
    return Message("user", (Text(text),))


def test_a_reply_folds_into_the_message_that_the_model_gives(tmp_path):
    events = list(ScriptedModel().chat([asked("a picture and a sound")], ChatOptions(out_dir=tmp_path)))
    reply = Reply()
    for event in events:
        reply = reply.after(event, now=0.0)
    assert isinstance(events[-1], TurnDone)
    assert reply.message == events[-1].message
    assert reply.ending == "done"


def test_the_time_left_is_what_the_steps_so_far_took():
    reply = Reply().after(MediaStarted(0, "image", "a cat", 10), now=100.0)
    assert reply.after(MediaProgress(0, 1, 10), now=101.0).medium(0).left is None  # the first step also loads
    assert reply.after(MediaProgress(0, 4, 10), now=108.0).medium(0).left == 12.0


def test_before_the_second_step_the_time_left_is_what_is_expected():
    begun = Reply().after(MediaStarted(0, "image", "a cat", 10), 100.0, {"image": 30.0, "video": 90.0})
    assert begun.medium(0).left == 30.0
    assert begun.after(MediaProgress(0, 1, 10), now=101.0).medium(0).left == 30.0
    assert begun.after(MediaProgress(0, 5, 10), now=105.0).medium(0).left == 5.0


def test_a_stopped_reply_keeps_its_words_and_drops_what_was_being_made():
    reply = Reply().after(TextDelta("Here: "), 0.0).after(MediaStarted(0, "image", "a cat", 10), 0.0).ended("stopped")
    assert reply.message == Message("assistant", (Text("Here: "),))


def test_a_medium_that_fails_without_having_started_is_told():
    reply = Reply().after(MediaFailed(0, "video", "No videos here."), 0.0)
    assert reply.media[0].failure == "No videos here."
    assert reply.message is None


def test_turns_that_came_to_nothing_are_not_told_to_the_model():
    conversation = Conversation().asking(asked("one")).asking(asked("two")).asking(asked("three")).asking(asked("four"))
    first, second, third, fourth = (turn.id for turn in conversation.turns)
    conversation = (
        conversation.answered(first, Reply((Text("Yes."),), "done"))
        .answered(second, Reply((), "failed", "1234"))
        .answered(third, Reply((Text("Partly"),), "stopped"))
    )
    told = conversation.messages(before=fourth)
    assert [message.text for message in told] == ["one", "Yes.", "three", "Partly", "four"]
