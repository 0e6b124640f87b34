"""What follows from the samplers' formulas, at their full number of steps, on a denoiser that is a formula."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")

from hypothesis import given
from hypothesis import strategies as st

from codec_plugin.errors import Cancelled, CannotFill, EngineError, OptionError
from fcvg.sampling import vibid
from fcvg.sampling.mpd import carried
from fcvg.sampling.run import calls_of, sample
from fcvg.sampling.schedule import karras_sigmas, schedule_of, timestep
from fcvg.sampling.settings import Fusion, SampleSettings, WindowScope
from fcvg.sampling.steps import bound, denoised, euler, flip
from fcvg.sampling.trf import order
from fcvg.sampling.watch import Watch
from fcvg.sampling.windows import averaged, window_starts
from tests.fcvg import small
from tests.fcvg.analytic import FormulaDenoiser, clip

# diffusers 0.42.1 hands torch tensors to numpy in a way that numpy 2 wants to be told of.
DIFFUSERS_AND_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PUBLISHED_CALLS = [
    (SampleSettings(fusion=Fusion.FCVG), 50),
    (SampleSettings(fusion=Fusion.TRF), 110),
    (SampleSettings(fusion=Fusion.GI), 350),
    (SampleSettings(fusion=Fusion.VIBID), 50),
    (SampleSettings(fusion=Fusion.MPD), 50 + 5 * 3),
    (SampleSettings(fusion=Fusion.MPD, mpd_base=Fusion.TRF), 110 + 5),
]


def made(settings: SampleSettings, **about: object) -> torch.Tensor:
    denoiser = FormulaDenoiser()
    wanted = clip(steps=settings.steps_taken, **about)  # type: ignore[arg-type]
    return sample(denoiser, wanted, settings=settings, backward=denoiser)


@pytest.mark.parametrize(("settings", "calls"), PUBLISHED_CALLS)
def test_a_fusion_takes_the_calls_it_was_published_with(settings: SampleSettings, calls: int) -> None:
    denoiser = FormulaDenoiser()

    sample(denoiser, clip(frames=25, steps=settings.steps_taken), settings=settings, backward=denoiser)

    assert denoiser.calls == calls == calls_of(settings, frames=25)


@pytest.mark.parametrize("settings", [settings for settings, _ in PUBLISHED_CALLS if settings.fusion is not Fusion.GI])
@pytest.mark.parametrize("scope", list(WindowScope))
def test_long_clips_are_made_in_windows_and_the_calls_are_foreseen(
    settings: SampleSettings, scope: WindowScope
) -> None:
    denoiser = FormulaDenoiser()
    settings = replace(settings, scope=scope)

    latents = sample(denoiser, clip(frames=102, steps=settings.steps_taken, controlled=True), settings=settings)

    assert latents.shape == (1, 102, 4, 6, 6)
    assert denoiser.lengths == {25}
    assert denoiser.calls == calls_of(settings, frames=102)


@pytest.mark.parametrize("fusion", [Fusion.FCVG, Fusion.TRF])
@pytest.mark.parametrize("controlled", [False, True])
def test_swapping_the_endpoints_and_reversing_the_noise_reverses_the_clip(fusion: Fusion, controlled: bool) -> None:
    settings = SampleSettings(fusion=fusion)
    forward = made(settings, frames=25, controlled=controlled)
    swapped = made(settings, frames=25, controlled=controlled, swapped=True)

    torch.testing.assert_close(flip(swapped), forward, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(swapped, forward, atol=1e-2)


@pytest.mark.parametrize("fusion", [Fusion.FCVG, Fusion.TRF, Fusion.VIBID, Fusion.MPD, Fusion.GI])
def test_every_fusion_takes_control(fusion: Fusion) -> None:
    settings = SampleSettings(fusion=fusion)

    assert not torch.allclose(made(settings, frames=9, controlled=True), made(settings, frames=9), atol=1e-3)


@pytest.mark.parametrize("settings", [settings for settings, _ in PUBLISHED_CALLS])
def test_the_noise_decides_and_nothing_else_is_random(settings: SampleSettings) -> None:
    first, again, other = (made(settings, frames=9, noise=noise) for noise in ("a", "a", "b"))

    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("fusion", [Fusion.VIBID, Fusion.MPD])
def test_the_first_frame_of_a_bound_clip_is_the_start_frames_latent(fusion: Fusion) -> None:
    latents = made(SampleSettings(fusion=fusion), frames=9)

    wanted = vibid.target(clip(frames=9, steps=2), end=False)
    torch.testing.assert_close(latents[:, 0], wanted, rtol=1e-5, atol=1e-5)


def test_binding_sets_the_last_frame_and_leaves_the_others() -> None:
    clean, target = small.normal("clean", 1, 9, 4, 6, 6), small.normal("target", 1, 4, 6, 6)

    result = bound(clean, target)

    assert torch.equal(result[:, -1], target)
    assert torch.equal(result[:, :-1], clean[:, :-1])


def test_the_carried_noise_has_the_forward_ones_motion_in_reverse() -> None:
    noise, anchor = small.normal("forward", 1, 9, 4, 6, 6), small.normal("anchor", 1, 1, 4, 6, 6)

    backward = carried(noise, anchor)

    assert torch.equal(backward[:, :1], anchor)
    moved = flip(noise) - flip(noise)[:, :1]
    torch.testing.assert_close(backward - anchor, moved, rtol=1e-5, atol=1e-5)


def test_trf_goes_back_once_in_fifty_steps_and_not_at_all_in_twenty_five() -> None:
    run = order(50)

    assert [index for index, _ in run] == [*range(10), *range(5, 10), *range(10, 50)]
    assert [place for place, (_, ends) in enumerate(run) if ends] == [9]
    assert [index for index, _ in order(25)] == list(range(25))


@given(steps=st.integers(2, 120))
def test_trf_takes_every_step_in_order_whatever_their_number(steps: int) -> None:
    run = [index for index, _ in order(steps)]

    assert list(dict.fromkeys(run)) == list(range(steps))
    assert all(after == before + 1 or after == before - 4 for before, after in pairwise(run))


@given(frames=st.integers(3, 300), window=st.integers(3, 40), data=st.data())
def test_windows_cover_every_frame_and_stay_inside(frames: int, window: int, data: st.DataObject) -> None:
    # With no frame shared, a left-out first frame would be nobody's.
    overlap = data.draw(st.integers(1, window - 1))
    starts = window_starts(frames, window=window, overlap=overlap)
    size = min(window, frames)

    parts = [torch.full((1, size, 1), float(start)) for start in starts]
    whole = averaged(parts, starts, frames=frames)

    assert starts[0] == 0
    assert starts[-1] + size == frames
    assert bool(torch.isfinite(whole).all())


def test_a_published_clip_of_52_frames_has_the_published_windows() -> None:
    assert window_starts(52, window=25, overlap=6) == (0, 19, 27)


def test_a_windows_first_frame_is_left_out_of_the_average_but_in_the_first_window() -> None:
    parts = [torch.zeros(1, 4, 1), torch.ones(1, 4, 1)]

    assert averaged(parts, (0, 2), frames=6).flatten().tolist() == [0, 0, 0, 0.5, 1, 1]


@DIFFUSERS_AND_NUMPY
def test_the_noise_levels_are_those_of_the_scheduler() -> None:
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(**small.SCHEDULER)
    scheduler.set_timesteps(25)
    schedule = schedule_of(small.SCHEDULER, steps=25)

    torch.testing.assert_close(torch.tensor(schedule.sigmas), scheduler.sigmas, rtol=1e-5, atol=1e-7)
    times = torch.tensor([timestep(sigma) for sigma in schedule.sigmas[:-1]])
    torch.testing.assert_close(times, scheduler.timesteps, rtol=1e-5, atol=1e-6)
    assert schedule.initial_sigma == pytest.approx(float(scheduler.init_noise_sigma))


@DIFFUSERS_AND_NUMPY
def test_a_step_is_the_schedulers() -> None:
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(**small.SCHEDULER)
    scheduler.set_timesteps(4)
    x, velocity = small.normal("x", 1, 5, 4, 6, 6) * 700, small.normal("v", 1, 5, 4, 6, 6)
    scheduler.scale_model_input(x, scheduler.timesteps[0])
    wanted = scheduler.step(velocity, scheduler.timesteps[0], x).prev_sample
    sigma, following, *_ = karras_sigmas(4)

    ours = euler(x, denoised(x, velocity, sigma=sigma), sigma=sigma, following=following)

    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-3)


def test_full_denoising_of_pure_signal_gives_it_back() -> None:
    clean, noise, sigma = small.normal("s", 1, 3, 4, 6, 6), small.normal("n", 1, 3, 4, 6, 6), 3.0
    root = math.sqrt(sigma**2 + 1)
    velocity = (noise - sigma * clean) / root

    torch.testing.assert_close(denoised(clean + sigma * noise, velocity, sigma=sigma), clean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("prediction_type", "epsilon"), ("timestep_type", "discrete"), ("use_karras_sigmas", False), ("sigma_max", None)],
)
def test_another_models_scheduler_is_refused_by_the_entry(entry: str, value: object) -> None:
    with pytest.raises(EngineError, match=entry):
        schedule_of({**small.SCHEDULER, entry: value}, steps=25)


def test_gi_without_its_second_network_is_refused() -> None:
    with pytest.raises(EngineError, match="second set of UNet weights"):
        sample(FormulaDenoiser(), clip(frames=9, steps=4), settings=SampleSettings(fusion=Fusion.GI, steps=4))


def test_gi_says_how_many_frames_it_can_make() -> None:
    denoiser = FormulaDenoiser()
    with pytest.raises(CannotFill, match="at most 25 frames, not 26"):
        sample(
            denoiser,
            clip(frames=26, steps=4),
            settings=SampleSettings(fusion=Fusion.GI, steps=4),
            backward=denoiser,
        )


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 1}, {"batch": 3}, {"control_weight": -1.0}, {"guidance": 0.5}, {"overlap": 25}, {"decode_chunk": 0}],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        SampleSettings(**wrong)  # type: ignore[arg-type]


def test_a_prediction_that_is_not_finite_cannot_fill() -> None:
    with pytest.raises(CannotFill, match=r"not finite at call 1 of 50 \(sigma 700\)"):
        Watch(expected=50).saw(torch.tensor([1.0, float("nan")]), sigma=700.0)


def test_cancelling_stops_after_the_call() -> None:
    watch = Watch(expected=4, cancelled=lambda: watch.calls == 2)

    watch.saw(torch.zeros(1), sigma=1.0)
    with pytest.raises(Cancelled):
        watch.saw(torch.zeros(1), sigma=1.0)
