"""The benchmark of FCVG's profiles: its loss, its table, its file, and that it runs on random weights and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.machine import this_machine
from benchmarks.profiles import (
    Job,
    ProfileRow,
    ProfilesResult,
    load_profiles,
    measure_profiles,
    profiles_table,
    psnr_db,
    save_profiles,
)

FILM = Path(__file__).parents[1] / "examples" / "city_with_a_long_gap.mp4"
JOB = Job(weights=None, film=FILM, left=11, right=12, gap=1, size="64x64", fusion="fcvg", rounds=1, allow_cpu=False)
EXACT = ProfileRow(profile="exact", steps=25, whole_rows=100, flops=200.0, seconds_best=4.0, seconds=(5.0, 4.0))
RESULT = ProfilesResult(
    command="python -m benchmarks profiles",
    machine=this_machine(),
    torch="2",
    device="cpu",
    weights="random, never trained",
    film="a film",
    size="64x64",
    gap=7,
    fusion="fcvg",
    rows=(
        EXACT,
        replace(
            EXACT,
            profile="half",
            whole_rows=50,
            shallow_rows=9,
            flops=100.0,
            seconds_best=2.0,
            psnr_db=31.0,
            psnr_db_worst=29.5,
        ),
        ProfileRow(profile="lcm", skipped="no weights"),
    ),
)


def test_the_loss_is_of_all_frames_together_and_of_the_worst() -> None:
    wanted = np.zeros((2, 3, 4, 4), np.float32)
    made = wanted.copy()

    assert psnr_db(made, wanted) == (None, None)
    made[1] += 0.1
    assert psnr_db(made, wanted) == (pytest.approx(23.01, abs=0.01), pytest.approx(20.0, abs=0.01))


def test_the_table_sets_each_profile_beside_the_exact_run() -> None:
    *_, exact, half, skipped, _, _ = profiles_table(RESULT).splitlines()

    assert exact == "| exact | 25 | 100 + 0 | 1.00 × | 4.00 (1.00 ×) | equal |"
    assert half == "| half | 25 | 50 + 9 | 0.50 × | 2.00 (2.00 ×) | 31.0 (29.5) |"
    assert skipped.startswith("| lcm | skipped: no weights |")
    assert "random, never trained" in profiles_table(RESULT)


def test_a_result_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    save_profiles(RESULT, tmp_path / "profiles.json")

    assert load_profiles(tmp_path / "profiles.json") == RESULT


def test_a_frame_that_the_film_does_not_have_is_named() -> None:
    pytest.importorskip("diffusers", reason="the fcvg extra is not installed")

    with pytest.raises(ValueError, match=r"city_with_a_long_gap\.mp4 has no frame 5000"):
        measure_profiles(replace(JOB, right=5000), command="", tell=print)


@pytest.mark.slow  # five runs at their full number of steps
def test_every_profile_is_run_on_random_weights_and_said_to_be(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the fcvg extra is not installed")

    result = measure_profiles(JOB, command="typed", tell=print)
    rows = {row.profile: row for row in result.rows}

    assert result.weights.startswith("random, never trained")
    assert rows["exact"].psnr_db is None
    assert "unet_lcm.safetensors" in str(rows["lcm"].skipped)
    assert all(rows[name].psnr_db for name in ("late-guidance", "deepcache", "12-steps", "8-steps"))
    assert rows["deepcache"].shallow_rows == 48
