"""Small files that commands read and write: plans, reports, JSON results."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

from codec_plugin.errors import PlanError
from codec_plugin.media.writer import output_errors
from codec_plugin.plan import RestorePlan
from codec_plugin.planfile import load_plan


def write_json(target: str, document: object) -> None:
    """Writes JSON to a file, whole or not at all, or to standard output for "-".

    Raises:
        OutputError: the file can't be written.
    """
    text = json.dumps(document, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    write_text(Path(target), text)


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all.

    Raises:
        OutputError: it can't be written.
    """
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    with output_errors(str(path)):
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def read_plan(path: Path) -> RestorePlan:
    """Reads a saved plan, or a report, which holds one.

    Raises:
        PlanError: it can't be read, or isn't a plan.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise PlanError(f"{path}: no such file; --save-plan FILE writes a plan, --report FILE a report") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: can't be read as a plan: {error}") from error
    return load_plan(text, name=str(path))
