"""Profiles: what each leaves out, counted; and that nothing is left out where nothing should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from codec_plugin.errors import EngineError, OptionError
from fcvg import FcvgEngine, FcvgOptions
from fcvg.nets import reuse
from fcvg.nets.reuse import DeepFeatures
from fcvg.nets.unet import ControlledUNet
from fcvg.pipeline import make_latents
from fcvg.sampling.profile import EXACT, PROFILES, Profile, ProfileName, Rhythm, Rows
from fcvg.sampling.run import sample, unet_rows
from fcvg.sampling.schedule import consistency_sigmas, karras_sigmas, schedule_of
from fcvg.sampling.settings import Fusion, SampleSettings
from fcvg.sampling.steps import flip
from fcvg.weights.load import load_weights
from tests.fcvg import networks, small
from tests.fcvg.analytic import FormulaDenoiser, clip
from tests.fcvg.hollow import make_hollow
from tests.fcvg.test_engine import NINE, request

FRAMES = 3
INTERVAL_ONE = Profile(name="interval 1", reuse_interval=1)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def rows_seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """("whole" or "shallow", rows) of each call of the network."""
    seen: list[tuple[str, int]] = []
    forward, outermost = ControlledUNet.forward, reuse.shallow

    def whole(self: ControlledUNet, sample: Any, *given: Any, **named: Any) -> Any:
        seen.append(("whole", len(sample)))
        return forward(self, sample, *given, **named)

    def shallow(unet: Any, deep: Any, sample: Any, *given: Any) -> Any:
        seen.append(("shallow", len(sample)))
        return outermost(unet, deep, sample, *given)

    monkeypatch.setattr(ControlledUNet, "forward", whole)
    monkeypatch.setattr(reuse, "shallow", shallow)
    return seen


def latents(settings: SampleSettings, *, frames: int = FRAMES) -> torch.Tensor:
    return make_latents(
        networks.models(),
        settings,
        left=networks.picture("left"),
        right=networks.picture("right"),
        conditions=networks.conditions(frames),
        frames=frames,
    )


def profiled(name: ProfileName, **given: Any) -> SampleSettings:
    return SampleSettings(profile=PROFILES[name], **given)


# ---- what it takes


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (ProfileName.EXACT, Rows(whole=100, shallow=0)),
        (ProfileName.LATE_GUIDANCE, Rows(whole=15 * 4 + 10 * 2, shallow=0)),
        (ProfileName.DEEPCACHE, Rows(whole=13 * 4, shallow=12 * 4)),
        (ProfileName.TWELVE_STEPS, Rows(whole=48, shallow=0)),
        (ProfileName.EIGHT_STEPS, Rows(whole=32, shallow=0)),
        (ProfileName.LCM, Rows(whole=4 * 2, shallow=0)),
    ],
)
def test_a_profile_takes_the_rows_of_the_network_that_it_says(name: ProfileName, rows: Rows) -> None:
    assert unet_rows(profiled(name), frames=25) == rows


@pytest.mark.parametrize("name", list(ProfileName))
@pytest.mark.parametrize(("fusion", "batch"), [(Fusion.FCVG, 4), (Fusion.FCVG, 1), (Fusion.VIBID, 4), (Fusion.MPD, 2)])
def test_the_network_computes_what_was_foreseen(
    name: ProfileName, fusion: Fusion, batch: int, rows_seen: list[tuple[str, int]]
) -> None:
    profile = PROFILES[name]
    settings = SampleSettings(
        fusion=fusion, batch=batch, profile=profile, steps=None if profile.steps else 6, control_weight=0.0
    )

    latents(settings)

    counts = {kind: sum(rows for seen, rows in rows_seen if seen == kind) for kind in ("whole", "shallow")}
    assert Rows(**counts) == unet_rows(settings, frames=FRAMES)


def test_clips_in_windows_keep_the_features_of_each_window(rows_seen: list[tuple[str, int]]) -> None:
    settings = profiled(ProfileName.DEEPCACHE, steps=3, window=3, overlap=1, control_weight=0.0)

    made = latents(settings, frames=5)

    assert rows_seen == [("whole", 4)] * 2 + [("shallow", 4)] * 2 + [("whole", 4)] * 2
    assert bool(torch.isfinite(made).all())


def test_trf_computes_whole_where_it_went_back_to_the_noise() -> None:
    rhythm = Rhythm(2)
    run = [*range(10), *range(5, 10), 10]

    whole = [rhythm.at(1.0 / (1 + index)) for index in run]

    assert whole == [True, False] * 5 + [True, False, True, False, True, False]
    assert unet_rows(profiled(ProfileName.DEEPCACHE, fusion=Fusion.TRF), frames=25).shallow == 4 * (5 + 2 + 20)


def test_the_estimate_follows_the_profile(tmp_path: Path) -> None:
    from fcvg.cost import cost_of
    from fcvg.place import Place

    engine = FcvgEngine(FcvgOptions(weights=make_hollow(tmp_path)))
    place = Place(device=torch.device("cpu"), dtype=torch.float32)
    costs = {
        name: cost_of(engine._checked(), profiled(name), size=(1024, 576), frames=25, place=place)
        for name in ProfileName
    }
    exact = costs[ProfileName.EXACT]
    shares = {str(name): round(cost.flops / exact.flops, 2) for name, cost in costs.items()}

    # Of 100 UNet rows at full size, 25 encodings of the conditions and one decoding.
    assert exact.flops == pytest.approx(8311e12, rel=1e-3)
    assert shares == {
        "exact": 1.0,
        "late-guidance": 0.81,
        "deepcache": 0.58,
        "12-steps": 0.49,
        "8-steps": 0.33,
        "lcm": 0.1,
    }
    assert costs[ProfileName.DEEPCACHE].bytes > exact.bytes


# ---- what it makes


def test_the_profile_exact_is_no_profile_bit_for_bit() -> None:
    assert FcvgOptions().sampling(seed=0) == SampleSettings(profile=EXACT)
    plain = latents(SampleSettings(steps=3))

    assert torch.equal(latents(SampleSettings(steps=3, profile=PROFILES[ProfileName.EXACT])), plain)
    assert torch.equal(latents(SampleSettings(steps=3, profile=INTERVAL_ONE)), plain)


def test_keeping_features_for_no_time_at_all_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the code that keeps them, unlike a profile of interval 1, which never enters it."""
    plain = latents(SampleSettings(steps=3))
    monkeypatch.setattr("fcvg.sampling.denoiser.DeepFeatures", lambda unet, interval: DeepFeatures(unet, interval=1))

    assert torch.equal(latents(profiled(ProfileName.DEEPCACHE, steps=3)), plain)


def test_the_outermost_layers_on_features_just_kept_give_what_the_whole_network_gives() -> None:
    unet = networks.unet()
    arguments = (
        small.normal("sample", 2, FRAMES, 8, 6, 6),
        torch.tensor(0.4),
        small.normal("e", 2, 1, 32),
        torch.tensor([[6, 127, 0.02]] * 2),
    )
    control = {"control": small.normal("control", 2 * FRAMES, 32, 3, 3), "control_scale": torch.tensor([0.0, 1.0])}
    deep = DeepFeatures(unet, interval=2)

    whole = deep("rows", arguments, sigma=2.0, whole=lambda: unet(*arguments, **control)[0])
    again = deep("rows", arguments, sigma=1.0, whole=lambda: pytest.fail("computed whole"))
    later = deep("rows", (arguments[0] * 2, *arguments[1:]), sigma=0.5, whole=lambda: unet(*arguments)[0])

    assert torch.equal(again, whole)
    assert not torch.equal(later, whole)


def test_kept_features_change_the_clip_but_not_by_much() -> None:
    exact, kept = (
        latents(SampleSettings(steps=6, profile=profile)) for profile in (EXACT, PROFILES[ProfileName.DEEPCACHE])
    )

    assert not torch.equal(kept, exact)
    assert float((kept - exact).std() / exact.std()) < 0.5


def test_where_guidance_is_off_both_predictions_are_the_one_with_the_image() -> None:
    always = Profile(name="no guidance", unguided_share=1.0)
    torch.testing.assert_close(
        latents(SampleSettings(steps=3, profile=always)), latents(SampleSettings(steps=3, guidance=1.0))
    )


def test_a_share_without_guidance_is_of_the_last_steps() -> None:
    guided = [PROFILES[ProfileName.LATE_GUIDANCE].guided(index, steps=5) for index in range(5)]

    assert guided == [True, True, True, False, False]


# ---- consistency weights


def test_the_consistency_models_noise_levels_are_the_first_of_each_quarter_of_forty() -> None:
    levels = karras_sigmas(40)

    assert consistency_sigmas(4) == (levels[0], levels[10], levels[20], levels[30])
    assert len(consistency_sigmas(3)) == 3
    schedule = schedule_of(small.SCHEDULER, steps=4, consistency=True)
    assert schedule.sigmas == (*consistency_sigmas(4), 0.0)


def test_a_consistency_models_steps_begin_from_new_noise_and_end_without() -> None:
    settings = profiled(ProfileName.LCM)
    drawn: list[tuple[int, ...]] = []
    wanted = clip(frames=9, steps=4)

    def counted(shape: tuple[int, ...]) -> torch.Tensor:
        drawn.append(shape)
        return wanted.noise(shape)

    sample(FormulaDenoiser(), replace(wanted, noise=counted), settings=settings)

    assert len(drawn) == 1 + 3  # the initial noise, and one before each step but the first


def test_a_consistency_clip_from_its_other_end_is_the_clip_in_reverse() -> None:
    made, swapped = (
        sample(FormulaDenoiser(), clip(frames=9, steps=4, swapped=swap), settings=profiled(ProfileName.LCM))
        for swap in (False, True)
    )

    torch.testing.assert_close(flip(swapped), made, rtol=1e-4, atol=1e-4)


def test_the_profile_lcm_needs_its_weights_and_lays_them_over_the_others(weights: Path) -> None:
    from safetensors.torch import save_file

    options = FcvgOptions(weights=weights, allow_untrained=True, size="64x64", profile=ProfileName.LCM)
    with pytest.raises(EngineError, match=r"the profile lcm needs .*unet_lcm\.safetensors, and it isn't there"):
        FcvgEngine(options)
    save_file({"conv_in.bias": torch.full((32,), 0.25)}, weights / "unet_lcm.safetensors")

    engine = FcvgEngine(options)
    made = list(engine.fill(request(positions=NINE)))

    assert len(made) == 7
    assert torch.equal(load_weights(weights, consistency=True).unet.conv_in.bias, torch.full((32,), 0.25))
    assert not torch.equal(load_weights(weights).unet.conv_in.bias, torch.full((32,), 0.25))
    assert all(np.isfinite(plane).all() for picture in made for plane in picture.planes)


# ---- what it refuses


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (ProfileName.DEEPCACHE, {"fusion": Fusion.GI}, "deepcache with the fusion gi makes no sense"),
        (ProfileName.LCM, {"fusion": Fusion.GI}, "lcm with the fusion gi makes no sense"),
        (ProfileName.EIGHT_STEPS, {"fusion": Fusion.TRF}, "8-steps with the fusion trf makes no sense"),
        (ProfileName.LCM, {"fusion": Fusion.TRF}, "lcm with the fusion trf makes no sense"),
        (ProfileName.TWELVE_STEPS, {"fusion": Fusion.MPD, "mpd_base": Fusion.TRF}, "12-steps with the fusion mpd"),
        (ProfileName.TWELVE_STEPS, {"steps": 20}, "takes 12 steps, and steps=20 says otherwise"),
    ],
)
def test_a_profile_that_makes_no_sense_with_a_fusion_is_refused_with_the_reason(
    name: ProfileName, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        profiled(name, **given)


def test_every_other_profile_goes_with_every_other_fusion() -> None:
    for name in ProfileName:
        for fusion in (Fusion.FCVG, Fusion.VIBID, Fusion.MPD):
            assert profiled(name, fusion=fusion).profile.name == name
    for fusion in (Fusion.TRF, Fusion.GI):
        assert profiled(ProfileName.LATE_GUIDANCE, fusion=fusion)
    assert profiled(ProfileName.TWELVE_STEPS, steps=12).steps_taken == 12


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"unguided_share": 1.5}, {"reuse_interval": 0}])
def test_a_profile_out_of_range_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Profile(name="own", **wrong)


def test_a_network_that_torch_does_not_run_keeps_no_features() -> None:
    with pytest.raises(EngineError, match="deepcache looks into the UNet"):
        DeepFeatures(torch.nn.Identity(), interval=2)
