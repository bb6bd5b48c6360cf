"""Nodes of ComfyUI that make, enlarge and judge clips on a Newsreel service."""

from .newsreel_nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
