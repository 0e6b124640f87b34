"""Runs the sampler that the settings name, and knows beforehand how many UNet calls it takes."""

from __future__ import annotations

from torch import Tensor

from codec_plugin.errors import CannotFill, EngineError
from fcvg.sampling import fcvg, gi, mpd, trf, vibid
from fcvg.sampling.clip import Clip
from fcvg.sampling.denoiser import Predicts
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
    steps = settings.steps_taken
    windows = len(window_starts(frames, window=settings.window, overlap=settings.overlap))
    base = settings.mpd_base if settings.fusion is Fusion.MPD else settings.fusion
    calls = 2 * steps
    if base is Fusion.TRF:
        calls = 2 * len(trf.order(steps))
    if base is Fusion.GI:
        calls += 2 * gi.REPEATS * sum(gi.repeats_at(index, steps=steps) for index in range(steps))
    if settings.fusion is Fusion.MPD:
        run = [index for index, _ in trf.order(steps)] if base is Fusion.TRF else range(steps)
        calls += sum(mpd.inner_loops(index, base=base, steps=steps) for index in run)
    return calls * windows


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
