"""Puts the page together: its components, which events lead to which handlers, and how it is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from nextgpt_core.page.handlers import Handlers
from nextgpt_core.page.headers import SecurityHeaders
from nextgpt_core.page.lane import Lane
from nextgpt_core.page.retention import KEPT, keep_sweeping
from nextgpt_core.page.state import Session
from nextgpt_core.page.words import WORDS

ASSETS = Path(__file__).parents[2] / "assets"
MAX_FILE_SIZE = "50mb"
_QUEUE = 32  # turns that wait at most; further ones are refused with a word
_LANE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
_INSTANT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_FILE_TYPES = ["image", "video", "audio", ".heic", ".heif", ".avif", ".mkv", ".m4a", ".opus", ".ts", ".3gp"]


def build(lane: Lane, folder: Path) -> gr.Blocks:
    """The page; conversations and their files are kept under `folder`."""
    words, handlers = WORDS["en"], Handlers(lane, folder)
    with gr.Blocks(
        title=words["title"], fill_height=True, analytics_enabled=False, delete_cache=(600, int(KEPT))
    ) as page:
        session = gr.State(Session(), time_to_live=KEPT)
        gr.HTML(f"<h1>{words['title']}</h1><p>{words['tagline']}</p>", elem_id="head")
        chat = gr.Chatbot(
            elem_id="chat",
            label=words["conversation"],
            show_label=False,
            container=False,
            height=None,
            scale=1,
            layout="panel",
            buttons=[],
            feedback_options=None,
            latex_delimiters=[],
            allow_tags=False,
        )
        status = gr.HTML(elem_id="status")
        box = gr.MultimodalTextbox(
            elem_id="box",
            label=words["message"],
            show_label=False,
            placeholder=words["ask"],
            sources=["upload", "microphone"],
            file_count="multiple",
            file_types=_FILE_TYPES,
            max_plain_text_length=20_000,
            max_lines=8,
            autofocus=True,
        )
        asked = box.submit(handlers.ask, [box, session], [chat, box], **_INSTANT)
        answered = asked.then(
            handlers.answer,
            session,
            [chat, status],
            show_progress="full",
            show_progress_on=status,
            api_visibility="private",
            **_LANE,
        )
        answered.then(handlers.rest, session, box, **_INSTANT)
        answered.failure(handlers.refused, session, [chat, box], **_INSTANT)
        box.stop(handlers.stop, session, None, **_INSTANT)
        _add_api(handlers, session)
    return page.queue(max_size=_QUEUE)


def _add_api(handlers: Handlers, session: gr.State) -> None:
    """The endpoint `/chat`: its components are never shown, they give it its types."""
    with gr.Row(visible=False):
        message = gr.MultimodalTextbox(file_count="multiple", label="message")
        text = gr.Textbox(label="text")
        files = gr.File(file_count="multiple", label="files")
    message.submit(handlers.chat, [message, session], [text, files], api_name="chat", **_LANE)


def launch(page: gr.Blocks, folder: Path, host: str | None = None, port: int | None = None) -> str:
    """Serves the page in the background and returns its address. None stands for GRADIO_SERVER_NAME and _PORT."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    folder.mkdir(parents=True, exist_ok=True)
    keep_sweeping(folder)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        max_threads=16,
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=[str(folder.absolute())],
        footer_links=["api", "settings"],
        app_kwargs={"middleware": [Middleware(SecurityHeaders)]},
        theme=_theme(),
        css_paths=[ASSETS / "page.css"],
    )
    return address


def _theme() -> gr.themes.Base:
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", spacing_size="md", text_size="md"
    )
