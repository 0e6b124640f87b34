"""A GStreamer element: `… ! fcvg factor=2 engine=dis ! …`.

GStreamer's Python loader runs in the system's own Python and looks for plugins along `GST_PLUGIN_PATH`:

    eval "$(.venv/bin/python -m gstfcvg)"     sets that variable, and where this environment's packages are
    gst-inspect-1.0 fcvg

Importing this package imports nothing of GStreamer's.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["plugin_path"]


def plugin_path() -> Path:
    """The directory for `GST_PLUGIN_PATH`; the loader looks into its `python`."""
    return Path(__file__).parent
