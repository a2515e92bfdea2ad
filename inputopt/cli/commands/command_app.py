"""`inputopt app`: serve the playground, a page in the browser, to this machine."""

from __future__ import annotations

import argparse
import importlib.util
import json
from typing import Any

from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.parsing import whole
from inputopt.cli.verbs import add_common, add_verb

PORT = 7860
HOST = "127.0.0.1"
LARGEST_PORT = 65_535


def add_commands(commands: Any) -> None:
    """Add `app`."""
    command = add_verb(commands, "app")
    command.add_argument("--port", type=whole(0, LARGEST_PORT), default=PORT, help="TCP port; 0: any (%(default)s)")
    command.add_argument(
        "--host", default=HOST, help="address to listen on; the default serves this machine only (%(default)s)"
    )
    add_common(command)
    command.set_defaults(run=run_app)


def run_app(options: argparse.Namespace) -> int:
    """Serve the playground until Ctrl-C.

    Raises:
        ModuleNotFoundError: Gradio is not installed.
        ValueError: the address or the port cannot be used.
        KeyboardInterrupt: on Ctrl-C.
    """
    check_cpu(options)
    if importlib.util.find_spec("gradio") is None:
        raise ModuleNotFoundError("The playground needs Gradio; install it with: pip install 'inputopt[app]'")
    from inputopt.app.playground import launch

    served = launch(options.port, options.host)
    text = f"The playground runs at {served.address} (Ctrl-C ends it)."
    print(json.dumps({"address": served.address}) if options.json else text, flush=True)
    try:
        served.wait()
    finally:
        served.close()
    return 0
