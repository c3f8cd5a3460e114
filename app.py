"""Starts the chat: python app.py [--checkpoint DIR] [--device auto|cpu|cuda|mps] [--host NAME] [--port N] [--data DIR]

The entry point of a Space, too. The page is up before the model: that is loaded beside it, torch included, and the
first message waits for it. (On ZeroGPU it is loaded before, as that asks.) NEXTGPT_CHECKPOINT, GRADIO_SERVER_NAME,
GRADIO_SERVER_PORT and NEXTGPT_DATA stand in for the arguments. NEXTGPT_LOGIN asks visitors and programs to log in:
"name:password", several with a line break between them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nextgpt_core.config import load_config
from nextgpt_core.page.space import OnZeroGpu, zero_gpu
from nextgpt_core.page.talk.lane import Lane, Model

if TYPE_CHECKING:
    from nextgpt_core.model import NextGPT

ROOT = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="The NExT-GPT chat, on a page of its own.")
    parser.add_argument("--checkpoint", type=Path, default=_checkpoint(), metavar="DIR", help="checkpoints/pocket")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--host", metavar="NAME", help="127.0.0.1 unless given: this machine only")
    parser.add_argument("--port", type=int, metavar="N", help="7860, or the next free one, unless given")
    parser.add_argument("--data", type=Path, default=_data_folder(), metavar="DIR", help="where conversations are kept")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    try:
        config = load_config(args.checkpoint)
        login = _login(os.environ.get("NEXTGPT_LOGIN", ""))
    except ValueError as error:
        sys.exit(str(error))

    gpu = zero_gpu()  # before torch, which `load` brings

    # gradio takes seconds to import; --help should not
    from nextgpt_core.page import layout
    from nextgpt_core.page.api import calls, mcp_tool, openai_api

    def load() -> NextGPT:
        from nextgpt_core import checkpoint

        return checkpoint.load(args.checkpoint, args.device)

    def load_and_prepare() -> Model:
        """Words can be said while decoders are still being loaded."""
        model = load()
        threading.Thread(target=model.prepare, name="model-parts", daemon=True).start()
        return model

    if gpu is None:
        lane = Lane(load_and_prepare)
    else:  # each turn would load its parts again
        model = load()
        model.prepare()
        model = OnZeroGpu(model, gpu)
        lane = Lane(lambda: model)
    folder = args.data / "conversations"  # a folder of our own: what is old in it gets deleted
    page = layout.build(lane, folder, config)
    programs = calls.Calls(lane, folder, config, login)
    routes = [*openai_api.routes(programs), *mcp_tool.routes(programs)]
    address = layout.launch(page, folder, args.host, args.port, login, routes=routes)
    print(f"The chat is at {address}", flush=True)
    lane.open()
    page.block_thread()


def _checkpoint() -> Path:
    return Path(os.environ.get("NEXTGPT_CHECKPOINT") or ROOT / "checkpoints" / "pocket")


def _login(text: str) -> list[tuple[str, str]]:
    """Names and passwords; raises ValueError in people's words."""
    pairs = [tuple(line.strip().split(":", 1)) for line in text.splitlines() if line.strip()]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError("NEXTGPT_LOGIN holds a line that is not of the form name:password.")
    return pairs


def _data_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("NEXTGPT_DATA") or Path(home) / "nextgpt")


if __name__ == "__main__":
    main()
