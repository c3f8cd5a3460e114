"""Every word that the page says, by language. Keys are shared by all languages; `{name}` is filled in where it is used.

Labels of components go to the browser through `gr.I18n` and follow the browser's language; what the server writes into
the chat follows the session's, which `choose` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping

Words = Mapping[str, str]

WORDS: dict[str, Words] = {
    "en": {
        "title": "NExT-GPT",
        "tagline": "Talk in words, pictures, clips and sounds, and get any of them back.",
        "ask": "Write a message, or drop a picture, clip or sound",
        "message": "Message",
        "conversation": "Conversation",
        "loading": "The model is being loaded. Your message is next.",
        "busy": "The step that was stopped is finishing. Your message is next.",
        "thinking": "Thinking",
        "making_image": "Making a picture",
        "making_video": "Making a video",
        "making_audio": "Making a sound",
        "step": "step {step} of {steps}",
        "left": "about {seconds} s left",
        "failed": "Sorry, something went wrong on our side. The conversation goes on; please try again. Reference: {note}",
        "full": "Too many people are waiting just now. Please try again in a minute.",
        "stopped": "Stopped.",
        "still_answering": "The last message is still being answered. Stop it first, or wait for it.",
        "nothing": "Write something or attach a file first.",
        "too_many_files": "A message takes at most {limit} files.",
        "upload_image": "Attached picture",
        "upload_video": "Attached video",
        "upload_audio": "Attached sound",
        "made_image": "Picture",
        "made_video": "Video",
        "made_audio": "Sound",
        "save": "Save",
    },
}


def choose(accept_language: str) -> str:
    """The language to speak to a browser that sends this Accept-Language header: the first that we have, or English."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().split("-")[0].lower()
        if language in WORDS:
            return language
    return "en"
