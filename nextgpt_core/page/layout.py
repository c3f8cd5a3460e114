"""Puts the page together: its components, which events lead to which handlers, and how it is served."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from nextgpt_core.config import Config
from nextgpt_core.page import actions
from nextgpt_core.page.api import endpoint
from nextgpt_core.page.handlers import Handlers, Screen
from nextgpt_core.page.headers import SecurityHeaders
from nextgpt_core.page.session import Session
from nextgpt_core.page.show.examples import FOLDER as EXAMPLES
from nextgpt_core.page.store import shares
from nextgpt_core.page.store.library import Library, keep_sweeping
from nextgpt_core.page.store.limits import Limits, UploadLimit
from nextgpt_core.page.store.visitors import Visitors
from nextgpt_core.page.talk.lane import Lane
from nextgpt_core.page.words import WORDS

ASSETS = Path(__file__).parents[2] / "assets"
MAX_FILE_SIZE = "50mb"
_WATCHERS = 256  # events that the queue holds; the lane to the model has a limit of its own
_IDLE = 0.02  # seconds between two looks into an empty queue; Gradio's own 0.001 keeps a processor at work for nothing
_SESSION = 24 * 3600  # seconds that a tab's state and Gradio's own copies of files are kept
_INSTANT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# What tells a visitor something goes through the queue: Gradio drops the messages of events that do not.
_QUEUED: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
_FILE_TYPES = ["image", "video", "audio", ".heic", ".heif", ".avif", ".mkv", ".m4a", ".opus", ".ts", ".3gp"]
_STYLES = ("page", "panels", "chat", "media", "box", "icons", "small")  # what comes later overrules
_I18N = gr.I18n(**WORDS)


def build(lane: Lane, folder: Path, config: Config, limits: Limits | None = None) -> gr.Blocks:
    """The page for a model of this config; conversations and their files are kept under `folder`."""
    handlers = Handlers(lane, Library(folder), config, limits or Limits())
    with gr.Blocks(
        title=WORDS["en"]["title"],
        fill_height=True,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(600, _SESSION),
    ) as page:
        session = gr.State(Session(), time_to_live=_SESSION)
        head = gr.HTML(elem_id="head")
        with gr.Row(elem_id="body"):
            with gr.Column(elem_id="side", min_width=0):
                listed = gr.HTML(elem_id="list")
                imported = gr.UploadButton(_I18N("import"), elem_id="import", file_types=[".zip"], size="sm")
                keeping = gr.HTML(elem_id="keeping")
            with gr.Column(elem_id="middle", min_width=0):
                chat, status, box = _chat(), gr.HTML(elem_id="status"), _box()
            with gr.Column(elem_id="settings", min_width=0):
                settings, estimates = handlers.settings.components(_I18N)
                defaults = gr.Button(_I18N("defaults"), size="sm", elem_id="defaults")
        opened = gr.HTML(elem_id="opened", visible="hidden", js_on_load=_script("opened"))
        download = gr.HTML(elem_id="download", visible="hidden", js_on_load=_script("download"))
        camera = gr.HTML(elem_id="camera", js_on_load=_script("camera"))
        clicks = gr.HTML(elem_id="clicks", visible="hidden", js_on_load=_script("clicks"))
        screen = Screen(chat, status, box, listed, opened, download, keeping)

        def act(event: gr.EventData, box: Any, session: Session, request: gr.Request, *settings: Any) -> Screen:
            return actions.act(handlers, event, box, session, request, settings)

        def take_in(path: str | None, session: Session, request: gr.Request) -> Screen:
            return actions.take_in(handlers, path, session, request)

        began = [
            page.load(handlers.enter, session, [*screen, head, camera], **_INSTANT),
            box.submit(handlers.ask, [box, session, *settings], screen, **_QUEUED),
            clicks.click(act, [box, session, *settings], screen, trigger_mode="multiple", **_QUEUED),
            imported.upload(take_in, [imported, session], screen, **_QUEUED),
        ]
        weigh: dict[str, Any] = {"fn": handlers.estimates, "inputs": [session, *settings], "outputs": estimates}
        began[0].then(**weigh, **_INSTANT)
        gr.on([control.change for control in settings], **weigh, trigger_mode="always_last", **_INSTANT)
        for event in began:
            followed = event.then(handlers.follow, session, [chat, status], **_QUEUED)
            followed.then(handlers.rest, session, [box, listed], **_INSTANT)
            followed.failure(handlers.rest, session, [box, listed], **_INSTANT)
            followed.then(**weigh, **_INSTANT)
        box.stop(handlers.stop, session, None, **_INSTANT)
        defaults.click(lambda: list(handlers.settings.defaults.values()), None, settings, **_INSTANT)
        endpoint.add(handlers, session)
    page.queue(max_size=_WATCHERS)
    page._queue.sleep_when_free = _IDLE
    return page


def _chat() -> gr.Chatbot:
    return gr.Chatbot(
        elem_id="chat",
        label=_I18N("conversation"),
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


def _box() -> gr.MultimodalTextbox:
    return gr.MultimodalTextbox(
        elem_id="box",
        label=_I18N("message"),
        show_label=False,
        placeholder=_I18N("ask"),
        sources=["upload", "microphone"],
        file_count="multiple",
        file_types=_FILE_TYPES,
        max_plain_text_length=20_000,
        max_lines=8,
        autofocus=True,
    )


def _script(name: str) -> str:
    return (ASSETS / "scripts" / f"{name}.js").read_text(encoding="utf-8")


def launch(
    page: gr.Blocks,
    folder: Path,
    host: str | None = None,
    port: int | None = None,
    login: Sequence[tuple[str, str]] = (),
    limits: Limits | None = None,
    routes: Sequence[BaseRoute] = (),
) -> str:
    """Serves the page in the background, `routes` beside it, and returns its address.

    None stands for GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.

    `login` lists names and passwords; without it, everybody who reaches the address may come in.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    folder.mkdir(parents=True, exist_ok=True)
    keep_sweeping(folder)
    limits = limits or Limits()
    middleware = [
        Middleware(SecurityHeaders),
        Middleware(Visitors, folder=folder),
        Middleware(UploadLimit, most=limits.upload_bytes_an_hour),
    ]
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        auth=list(login) or None,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        max_threads=16,
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=[str(folder.absolute()), str(EXAMPLES)],
        footer_links=["api", "settings"],
        app_kwargs={"middleware": middleware, "routes": [*shares.routes(folder), *routes]},
        theme=_theme(),
        css_paths=[ASSETS / "styles" / f"{name}.css" for name in _STYLES],
        i18n=_I18N,
    )
    return address


def _theme() -> gr.themes.Base:
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", spacing_size="md", text_size="md"
    )
