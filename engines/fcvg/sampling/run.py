"""Runs the sampler that the settings name, and knows beforehand how many UNet calls it takes."""

from __future__ import annotations

from torch import Tensor

from codec_plugin.errors import CannotFill, EngineError
from fcvg.sampling import fcvg, gi, mpd, trf, vibid
from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Predicts
from fcvg.sampling.profile import Rows, rows_of
from fcvg.sampling.settings import Fusion, SampleSettings
from fcvg.sampling.windows import WindowedDenoiser, window_starts


def sample(denoiser: Predicts, clip: Clip, *, settings: SampleSettings, backward: Predicts | None = None) -> Tensor:
    """Makes a clip's latents, (1, frame, 4, h/8, w/8).

    Args:
        denoiser: the network.
        clip: what is to be made.
        settings: the fusion and its numbers.
        backward: the second network, which only `gi` has.

    Raises:
        EngineError: `gi` without its second network.
        CannotFill: `gi` with more frames than the network sees at once.
    """
    if settings.fusion is Fusion.FCVG:
        return fcvg.sample(denoiser, clip, settings=settings)
    if settings.fusion is Fusion.GI:
        return _two_networks(denoiser, clip, settings=settings, backward=backward)
    windowed = WindowedDenoiser(denoiser, window=settings.window, overlap=settings.overlap)
    if settings.fusion is Fusion.TRF:
        return trf.sample(windowed, clip, settings=settings)
    if settings.fusion is Fusion.MPD:
        return mpd.sample(windowed, clip, settings=settings)
    return vibid.sample(windowed, clip)


def calls_of(settings: SampleSettings, *, frames: int) -> int:
    """UNet calls, each with both guidance halves, that a clip of so many frames takes."""
    return sum(calls for _, calls in visits_of(settings, frames=frames))


def unet_rows(settings: SampleSettings, *, frames: int) -> Rows:
    """Rows of the UNet's batch that a clip of so many frames takes, under the settings' profile."""
    return rows_of(settings.profile, visits_of(settings, frames=frames), steps=settings.steps_taken)


def visits_of(settings: SampleSettings, *, frames: int) -> list[tuple[int, int]]:
    """(index of the step, UNet calls there) in the order in which they are run; a call is of both guidance halves."""
    steps = settings.steps_taken
    windows = len(window_starts(frames, window=settings.window, overlap=settings.overlap))
    run = [index for index, _ in trf.order(steps)] if settings.base is Fusion.TRF else range(steps)
    return [(index, windows * _calls_at(index, settings)) for index in run]


def _calls_at(index: int, settings: SampleSettings) -> int:
    """UNet calls of one step in one window."""
    steps = settings.steps_taken
    if settings.fusion is Fusion.GI:
        return 2 + (2 * gi.REPEATS if gi.repeats_at(index, steps=steps) else 0)
    inner = settings.fusion is Fusion.MPD
    return 2 + (mpd.inner_loops(index, base=settings.base, steps=steps) if inner else 0)


def _two_networks(denoiser: Predicts, clip: Clip, *, settings: SampleSettings, backward: Predicts | None) -> Tensor:
    if backward is None:
        raise EngineError(
            "the gi fusion needs a second set of UNet weights, for the backward direction; none was given"
        )
    if clip.frames > settings.window:
        raise CannotFill(
            f"gi makes clips of at most {settings.window} frames, not {clip.frames}: choose another fusion for this gap"
        )
    return gi.sample(denoiser, clip, settings=settings, backward=backward)
