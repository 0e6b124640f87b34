"""The command line `codec-plugin`."""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits: 0 well, 1 an error, 2 bad usage, 130 interrupted."""
    from codec_plugin.cli.app import leave, run  # here, so that importing the package stays light

    leave(run())
