"""The page's words by language: which ones there are, which a browser is spoken to in, and reasons in that language."""

from __future__ import annotations

from collections.abc import Mapping

from nextgpt_core.conversation import Sentence
from nextgpt_core.page.languages import en, zh

Words = Mapping[str, str]
WORDS: dict[str, Words] = {"en": en.WORDS, "zh": zh.WORDS}
REASONS: dict[str, Words] = {"zh": zh.REASONS}  # by the English patterns of `Sentence`


def choose(accept_language: str) -> str:
    """The language to speak to a browser that sends this Accept-Language header: the first that we have, or English."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().split("-")[0].lower()
        if language in WORDS:
            return language
    return "en"


def say(text: str, words: Words) -> str:
    """A Sentence in the language of `words`; English where that language has no such pattern, or where it is none."""
    reasons = REASONS.get(words["language"], {})
    if not isinstance(text, Sentence) or text.pattern not in reasons:
        return text
    values = dict(text.values)
    if "kind" in values:
        values["kind"] = reasons.get(values["kind"], values["kind"])
    try:
        return reasons[text.pattern].format(**values)
    except KeyError:  # a value is missing: somebody wrote the conversation's record by hand
        return text
