"""What people and the model write never becomes markup of the page."""

from __future__ import annotations

import pytest

from nextgpt_core.conversation import ChatOptions, MediaStarted, Message, Text, TextDelta
from nextgpt_core.page.show import view
from nextgpt_core.page.talk.reply import Reply
from nextgpt_core.page.talk.state import Conversation
from nextgpt_core.page.words import WORDS, choose
from tests.page.scripted import ScriptedModel


def shown(asked: str, answered: str) -> tuple[str, str]:
    conversation = Conversation().asking(Message("user", (Text(asked),)), Reply((Text(answered),), "done"))
    question, answer = view.messages(conversation, WORDS["en"])
    return question["content"][0]["text"], answer["content"][0]["text"]


def answer(text: str) -> str:
    return shown("hello", text)[1]


def test_what_people_write_is_shown_as_written_in_one_line_of_html():
    question, _ = shown("<script>x</script>\n\n**not bold** ![](http://evil/x.png)", "yes")
    assert question == (
        '<div class="said">&lt;script&gt;x&lt;/script&gt;&#10;&#10;**not bold** ![](http://evil/x.png)</div>'
    )


@pytest.mark.parametrize("hostile", ["<img src=http://evil/x.png>", "<form action=/x>", "<script>", "</div><iframe>"])
def test_html_of_the_model_is_text(hostile):
    assert "<" not in answer(hostile)


def test_pictures_from_elsewhere_in_the_models_markdown_are_not_pictures():
    assert "![" not in answer("see ![a](http://evil/x.png)")


def test_code_of_the_model_stays_code():
    assert answer("use `a < b` or\n```\n<b>![\n```\n") == "use `a < b` or\n```\n<b>![\n```\n"


def test_every_language_has_every_word_with_the_same_gaps():
    import string

    def gaps(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english = {key: gaps(text) for key, text in WORDS["en"].items()}
    for language, words in WORDS.items():
        assert {key: gaps(text) for key, text in words.items()} == english, language


def test_the_browsers_language_is_spoken_where_we_can():
    assert choose("fr-FR,fr;q=0.9,en;q=0.8") == "en"
    assert choose("") == "en"
    assert choose("zh-CN,zh;q=0.9") == "zh"


def test_a_medium_says_what_it_shows_and_how_it_came_to_be(tmp_path):
    reply = Reply()
    for event in ScriptedModel().chat([Message("user", (Text("a picture"),))], ChatOptions(out_dir=tmp_path, seed=3)):
        reply = reply.after(event, now=0.0)
    figure = view.messages(Conversation().asking(Message("user", ()), reply), WORDS["en"])[-1]["content"][1]["text"]
    assert "<figcaption>A picture of a picture</figcaption>" in figure
    assert 'alt="A picture of a picture"' in figure
    assert "scripted · seed 3 · 10 steps · 0.5 s" in figure


def test_a_caption_that_was_just_said_is_not_said_twice():
    told = MediaStarted(0, "image", "Here is a red apple.", 10)
    for words, captioned in (("Sure! Here is a red apple. ", False), ("Sure! ", True)):
        reply = Reply().after(TextDelta(words), 0.0).after(told, 0.0)
        conversation = Conversation().asking(Message("user", (Text("draw"),)), reply)
        card = view.messages(conversation, WORDS["en"])[-1]["content"][1]["text"]
        assert ("<figcaption>" in card) == captioned
