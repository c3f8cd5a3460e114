"""The page's words by language: which ones there are, and which a browser is spoken to in."""

from __future__ import annotations

from collections.abc import Mapping

from nextgpt_core.page.languages import en, zh

Words = Mapping[str, str]
WORDS: dict[str, Words] = {"en": en.WORDS, "zh": zh.WORDS}


def choose(accept_language: str) -> str:
    """The language to speak to a browser that sends this Accept-Language header: the first that we have, or English."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().split("-")[0].lower()
        if language in WORDS:
            return language
    return "en"
