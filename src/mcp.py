"""python -m src.mcp: a running service as tools of an assistant (Model Context Protocol)."""

from src.cli.mcp_server import mcp_app

if __name__ == "__main__":
    mcp_app()(prog_name="python -m src.mcp")
