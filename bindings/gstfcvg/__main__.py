"""Prints the shell lines that let GStreamer find the element: eval "$(python -m gstfcvg)"."""

from __future__ import annotations

import shlex
import sysconfig

from gstfcvg import plugin_path


def main() -> None:
    """Prints two export lines."""
    print(f'export GST_PLUGIN_PATH={shlex.quote(str(plugin_path()))}"${{GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}}"')
    print(f"export GSTFCVG_SITE={shlex.quote(sysconfig.get_path('purelib'))}")


if __name__ == "__main__":
    main()
