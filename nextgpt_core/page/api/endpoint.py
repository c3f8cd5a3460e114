"""The endpoint `/chat` for programs: one message in, text and files out, in a conversation of the client's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from nextgpt_core.page.handlers import Handlers, Value
from nextgpt_core.page.session import Session
from nextgpt_core.page.talk.reply import Medium, Reply
from nextgpt_core.page.words import Words

_WAITING = 8  # calls of one client at a time, the one that is answered included


def add(handlers: Handlers, session: gr.State) -> None:
    """Its components are never shown, they give it its types."""

    async def chat(
        message: Value, options: dict[str, Any] | None, session: Session, request: gr.Request
    ) -> AsyncIterator[tuple[str, list[str]]]:
        """Answers one message of a conversation.

        message: {"text": "...", "files": [...]}, files as uploads (`handle_file` in gradio_client). options: the
        settings panel's values by name, such as {"image": "always", "image_steps": 8, "temperature": 0.7, "seed": 1}.
        Returns the answer's text and the files of its pictures, videos and sounds. Calls of one client continue one
        conversation, one after another: a call waits until the one before it is answered, or has stopped.
        """
        async for answer in _chat(handlers, message, options or {}, session, request):
            yield answer

    with gr.Row(visible=False):
        message = gr.MultimodalTextbox(file_count="multiple", label="message")
        options = gr.JSON({}, label="options")
        text = gr.Textbox(label="text")
        files = gr.File(file_count="multiple", label="files")
    message.submit(chat, [message, options, session], [text, files], api_name="chat", concurrency_limit=None)


async def _chat(
    handlers: Handlers, message: Value, options: dict[str, Any], session: Session, request: gr.Request
) -> AsyncIterator[tuple[str, list[str]]]:
    if session.calls >= _WAITING:
        yield handlers.words(session)["still_answering"], []
        return
    session.calls += 1
    try:
        async with session.turn:
            async for answer in _answer(handlers, message, options, session, request):
                yield answer
    finally:
        session.calls -= 1


async def _answer(
    handlers: Handlers, message: Value, options: dict[str, Any], session: Session, request: gr.Request
) -> AsyncIterator[tuple[str, list[str]]]:
    handlers.know(session, request)
    chat = session.chat
    try:
        handlers.options(chat, options)
    except ValueError as error:
        yield str(error), []
        return
    async for _ in chat.watch():  # a call that was cancelled has set the stop sign, but the model is not there yet
        pass
    refusal = handlers.refusal(session, request)
    if refusal := refusal or await asyncio.to_thread(handlers.accept, message, session):  # it reads files
        yield refusal, []
        return
    handlers.answer(session, options)
    leaf = chat.conversation.leaf
    try:
        async for _ in chat.watch():
            reply = chat.conversation.turn(leaf).reply or Reply()
            yield plain(reply, handlers.words(session)), [str(m.media.path) for m in reply.media if m.media]
    finally:  # a client that hangs up wants no more of it
        if chat.answering == leaf:
            chat.stop()


def plain(reply: Reply, words: Words) -> str:
    """A reply as text alone: its words, and a line for whatever went wrong."""
    lines = [reply.text.strip()]
    lines += [part.failure for part in reply.parts if isinstance(part, Medium) and part.failure]
    if reply.ending in ("failed", "refused"):
        lines.append(words["failed"].format(note=reply.note) if reply.ending == "failed" else reply.note)
    return "\n".join(line for line in lines if line)
