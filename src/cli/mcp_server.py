"""The command that offers a running service to assistants, by the Model Context Protocol on
standard input and output. A client like any other: its key's rights, limits and visibility hold.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from src.console.options import make_app, value
from src.console.output import command
from src.core.errors import BadInputError

EXTRA = "pip install -r requirements-mcp.txt"
OPTIONS: dict[str, Any] = {
    "url": value(str, "Of the service. Default NEWSREEL_URL, or http://127.0.0.1:8000."),
    "folder": value(Path, "Where clips are saved, and nothing else [clips in this folder]."),
}


def mcp_app() -> Any:
    """The key comes from NEWSREEL_KEY; runs until its input ends."""
    return make_app(OPTIONS, "Offer a running service as tools of an assistant (MCP).", _main)


def _main(values: dict[str, Any]) -> None:
    with command():
        url = values["url"] or os.environ.get("NEWSREEL_URL") or "http://127.0.0.1:8000"
        folder = (values["folder"] or Path("clips")).resolve()
        make_mcp_server(url, os.environ.get("NEWSREEL_KEY", ""), folder).run("stdio")


def make_mcp_server(url: str, key: str, folder: Path) -> Any:
    """The server with its tools. Raises BadInputError where the SDK is not here."""
    try:
        from mcp.server import MCPServer
    except ImportError:
        raise BadInputError(f"src.mcp needs the SDK of MCP: {EXTRA}") from None
    from src.cli.mcp_tools import Tools

    server, tools = MCPServer("newsreel", instructions=INSTRUCTIONS), Tools(url, key, folder)
    for tool in (tools.generate, tools.fetch, tools.upscale, tools.verify):
        server.tool()(tool)
    server.tool(structured_output=False)(tools.status)  # words and a picture
    return server


INSTRUCTIONS = (
    "Newsreel makes a six-second clip of a press photograph and a sentence that says how camera "
    "and scene move. Clips are generated pictures: say so wherever one is shown. A job takes half "
    "a minute or more: submit it, ask for its status until it is COMPLETED, then fetch it."
)
