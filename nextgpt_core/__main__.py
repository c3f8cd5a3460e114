"""python -m nextgpt_core chat | weights | benchmark | evaluate | data | dialogues | start | original-data
| rewrite | train | convert | memory | publish
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys

# command → (module with add_arguments and run, one line of help); imported only when asked for, so --help is quick
COMMANDS = {
    "chat": ("nextgpt_core.chat_command", "talk with the model in the terminal"),
    "weights": ("nextgpt_core.weights_command", "fetch and verify the frozen weights"),
    "benchmark": ("nextgpt_core.benchmark", "measure load, tokens and media beside a peer in the same run"),
    "evaluate": ("nextgpt_core.evaluation.commands", "judge what a checkpoint makes and understands"),
    "data": ("nextgpt_core.pocket.commands", "build the pocket profile's pictures and train their decoder"),
    "dialogues": ("nextgpt_core.pocket.dialogues.chat_data", "write the pocket profile's training conversations"),
    "start": ("nextgpt_core.pocket.names", "write a checkpoint to start the pocket profile's training from"),
    "original-data": ("nextgpt_core.training.original_data", "read the original's data files as conversations"),
    "rewrite": ("nextgpt_core.training.rewriting", "let a larger model reword training conversations"),
    "train": ("nextgpt_core.training.commands", "run a training stage"),
    "convert": ("nextgpt_core.official_checkpoint", "read the officially released weights"),
    "memory": ("nextgpt_core.memory_command", "plan what fits a GPU"),
    "publish": ("nextgpt_core.publish_command", "put the chat on a Space"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m nextgpt_core", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = next((word for word in sys.argv[1:] if word in COMMANDS), None)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == chosen:
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return importlib.import_module(COMMANDS[args.command][0]).run(args)


if __name__ == "__main__":
    sys.exit(main())
