"""Starts the chat: python app.py [--checkpoint DIR] [--device auto|cpu|cuda|mps] [--host NAME] [--port N] [--data DIR]

The entry point of a Space, too. The page is up before the model: that is loaded beside it, torch included, and the
first message waits for it. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT stand in for --host and --port.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from nextgpt_core.page.lane import Lane, Model

ROOT = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="The NExT-GPT chat, on a page of its own.")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints" / "pocket", metavar="DIR")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--host", metavar="NAME", help="127.0.0.1 unless given: this machine only")
    parser.add_argument("--port", type=int, metavar="N", help="7860, or the next free one, unless given")
    parser.add_argument("--data", type=Path, default=_data_folder(), metavar="DIR", help="where conversations are kept")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    from nextgpt_core.page import layout  # gradio takes seconds to import; --help should not

    def load() -> Model:
        from nextgpt_core import checkpoint

        return checkpoint.load(args.checkpoint, args.device)

    lane, folder = Lane(load), args.data / "conversations"  # a folder of our own: what is old in it gets deleted
    page = layout.build(lane, folder)
    address = layout.launch(page, folder, args.host, args.port)
    print(f"The chat is at {address}", flush=True)
    lane.open()
    page.block_thread()


def _data_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("NEXTGPT_DATA") or Path(home) / "nextgpt")


if __name__ == "__main__":
    main()
