"""What third parties start from: the drop-in decoder, and an engine in a package of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bindings.hosts import ENVIRONMENT, ROOT
from tests.synth import MP4, Clip

EXAMPLES = ROOT / "examples"
GAPPED = Clip(kind=MP4, slots=20, dropped=frozenset({4, 5, 11}))


def test_the_drop_in_example_is_ten_lines_and_shows_every_frame_with_its_maker(tmp_path: Path) -> None:
    script = EXAMPLES / "drop_in.py"
    film = GAPPED.write(tmp_path / "film.mp4")
    done = subprocess.run([sys.executable, script, film], env=ENVIRONMENT, capture_output=True, text=True, check=True)

    makers = [line.split()[2] for line in done.stdout.splitlines()]
    assert [slot for slot, maker in enumerate(makers) if maker != "source"] == sorted(GAPPED.dropped)
    code = [line for line in script.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    assert len(code) <= 10
    in_readme = (ROOT / "README.md").read_text(encoding="utf-8")
    loop = "\n".join(line for line in code if line.startswith("    for") or "RestoringDecoder" in line)
    assert all(line.split("  #")[0] in in_readme for line in loop.splitlines())


def test_the_readmes_own_loop_runs_as_it_stands(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(block.partition("```")[0] for block in readme.split("```python\n")[1:] if "RestoringDecoder(" in block)
    GAPPED.write(tmp_path / "film.mp4")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )

    assert len(done.stdout.splitlines()) == GAPPED.slots
    assert sum(not line.endswith("None") for line in done.stdout.splitlines()) == len(GAPPED.dropped)


@pytest.mark.slow
def test_an_engine_in_a_package_of_its_own_is_installed_and_used_by_its_name(tmp_path: Path) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True, env=environment)
    tool = fresh / "bin"

    def ran(*words: object) -> str:
        done = subprocess.run(
            [str(word) for word in words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    quiet = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt")
    ran(tool / "python", *quiet, ROOT)
    assert "lightmix" not in ran(tool / "codec-plugin", "engines")
    ran(tool / "python", *quiet, EXAMPLES / "third_party_engine")

    assert re.search(r"lightmix +yes +cross-dissolve in linear light", ran(tool / "codec-plugin", "engines"))
    film = GAPPED.write(tmp_path / "film.mp4")
    told = ran(tool / "codec-plugin", "restore", film, "out.mp4", "--engine", "lightmix")
    assert "20 frames at 25 fps, 3 made by lightmix" in told
