"""Builds and serves the playground; all that changes while it is used belongs to one user's session."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

import gradio as gr

from inputopt.app.dream_tab import add_dream_tab
from inputopt.app.fool_tab import add_fool_tab
from inputopt.app.learn_tab import add_learn_tab
from inputopt.app.page_style import CSS, theme
from inputopt.app.uploads import MOST_BYTES

HOST = "127.0.0.1"
AT_ONCE = 8
"""Largest number of users whose searches run at the same time; others wait."""

KEEP = 3600
"""Seconds after which uploaded files are deleted."""


def build() -> gr.Blocks:
    """The page, with its tabs; nothing is served yet."""
    with gr.Blocks(title="inputopt playground", analytics_enabled=False, delete_cache=(KEEP, KEEP)) as page:
        gr.Markdown("# inputopt playground")
        with gr.Tabs():
            with gr.Tab("Learn", id="learn"):
                add_learn_tab()
            with gr.Tab("Fool", id="fool"):
                add_fool_tab()
            with gr.Tab("Dream", id="dream"):
                add_dream_tab()
    page.queue(default_concurrency_limit=AT_ONCE, api_open=False)
    return page


@dataclass(frozen=True)
class Served:
    """A running server; `address` is that of the page."""

    page: gr.Blocks
    address: str

    def wait(self) -> None:
        """Wait for Ctrl-C.

        Raises:
            KeyboardInterrupt: on Ctrl-C.
        """
        threading.Event().wait()

    def close(self) -> None:
        """End the server."""
        self.page.close(verbose=False)


def launch(port: int = 7860, host: str = HOST) -> Served:
    """Serve the playground in a thread, by default to this machine only.

    Args:
        port: TCP port; 0 for any free one.
        host: address to listen on.

    Raises:
        ValueError: the address or the port cannot be used.
    """
    port = free_port(host, port)
    page = build()
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        max_file_size=MOST_BYTES,
        share=False,
        quiet=True,
        inbrowser=False,
        show_error=False,
        prevent_thread_lock=True,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS,
    )
    return Served(page, address)


def free_port(host: str, port: int) -> int:
    """The port, or for 0 a free one, after checking that it can be listened on.

    Raises:
        ValueError: it cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
            return int(probe.getsockname()[1])
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise ValueError(f"Cannot listen on {host}, port {port} ({reason}); choose another port or host.") from error
