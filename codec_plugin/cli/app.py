"""The group of all commands, and how errors become words and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

import codec_plugin
from codec_plugin.errors import CodecPluginError
from codec_plugin.stages import is_any_left

_FAILED, _INTERRUPTED, _TERMINATED, _PIPE_CLOSED = 1, 130, 143, 141

_COMMANDS = {
    "scan": "codec_plugin.cli.scan:scan_command",
    "double": "codec_plugin.cli.restore:double",
    "upsample": "codec_plugin.cli.restore:upsample",
    "restore": "codec_plugin.cli.restore:restore",
    "thin": "codec_plugin.cli.thin:thin_command",
    "pipe": "codec_plugin.cli.pipe:pipe_command",
    "compare": "codec_plugin.cli.compare:compare_command",
    "verify": "codec_plugin.cli.verify:verify_command",
    "rd": "codec_plugin.cli.rd:rd_command",
    "bench": "codec_plugin.cli.bench:bench_command",
    "build": "modelrt.cli:build_command",
    "cache": "modelrt.cli:cache_group",
    "engines": "codec_plugin.cli.engines:engines_command",
    "export": "codec_plugin.cli.export:export_command",
    "weights": "codec_plugin.cli.weights:weights_group",
    "doctor": "codec_plugin.cli.engines:doctor_command",
}


class _Terminated(BaseException):
    """SIGTERM came; unwinds everything, as Ctrl-C does."""


class _Lazy(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # click knows only of commands that were added to the group
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=_COMMANDS, ctx=ctx) from None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(codec_plugin.__version__, prog_name="codec-plugin")
def app() -> None:
    """Finds the frames a video stream has lost and makes them again; everything else stays as it was."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and gives the exit code; errors go to standard error, one paragraph each."""
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings to standard error unless told not to
    try:
        code = app.main(
            args=list(arguments) if arguments is not None else None,
            standalone_mode=False,
            prog_name="codec-plugin",
        )
    except _Terminated:
        return _TERMINATED
    except SystemExit:  # click's way out where who read our output has gone; nothing of ours raises it in there
        return _PIPE_CLOSED
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; nothing was left behind")
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CodecPluginError as error:
        _complain(str(error))
        return _FAILED
    except Exception as error:
        if os.environ.get("CODEC_PLUGIN_TRACEBACK"):
            traceback.print_exc()
        _complain(
            f"an error that this program did not foresee: {type(error).__name__}: {error}; please report it, "
            "with what CODEC_PLUGIN_TRACEBACK=1 prints"
        )
        return _FAILED
    return code if isinstance(code, int) else 0  # click gives back what a command exits with


def leave(code: int) -> NoReturn:
    """Ends the process.

    A stage that was left in the middle of its work, as by Ctrl-C, is a thread that Python would end where it asks for
    the interpreter again. Within libraries in C++ that is an abort (pthread_exit through a destructor): torch's is one.
    """
    if is_any_left():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    raise SystemExit(code)


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


def _complain(text: str) -> None:
    click.echo(f"codec-plugin: error: {text}", err=True)
