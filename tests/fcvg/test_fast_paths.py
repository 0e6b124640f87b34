"""What makes it fast gives what the plain way gives: one encode for four passes, batches, folded layers, constants."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

from torch._dynamo.testing import CompileCounter
from torch.nn import functional

from codec_plugin.errors import Cancelled, CannotFill, EngineError
from fcvg.nets.encoder import ConditionEncoder, encoded_size
from fcvg.nets.exchange import exchanged
from fcvg.nets.folding import folded
from fcvg.nets.injection import Pooling, inject, standardised
from fcvg.nets.unet import ControlledUNet
from fcvg.pictures import antialiased, decoded
from fcvg.pipeline import Stage, generate, make_latents
from fcvg.sampling.control import ControlTrack
from fcvg.sampling.denoiser import Denoiser, Endpoint, Pass
from fcvg.sampling.settings import Fusion, SampleSettings
from fcvg.sampling.steps import flip
from tests.fcvg import networks, small

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
FRAMES = 3


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def endpoint(name: str) -> Endpoint:
    return Endpoint(latent=small.normal(name, 1, 4, 6, 6), embedding=small.normal(f"{name}.e", 1, 1, 32))


def passes(*, controlled: bool = True) -> tuple[tuple[Endpoint, Endpoint], list[Pass]]:
    ends = endpoint("start"), endpoint("end")
    x = small.normal("x", 1, FRAMES, 4, 6, 6) * 2
    control = small.normal("control", FRAMES, 32, 3, 3) if controlled else None
    back = None if control is None else control.flip(0)
    return ends, [Pass(x=x, endpoint=ends[0], control=control), Pass(x=flip(x), endpoint=ends[1], control=back)]


def plain_prediction(turn: Pass, *, sigma: float, control_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """One row at a time, nothing folded or kept."""
    made = []
    for seen in (0.0, 1.0):
        latent = (turn.endpoint.latent * seen)[:, None].repeat(1, FRAMES, 1, 1, 1)
        sample = torch.cat([turn.x / (sigma**2 + 1) ** 0.5, latent], dim=2)
        control = {}
        if turn.control is not None:
            control = {"control": turn.control, "control_scale": torch.tensor([seen * control_weight])}
        time = torch.tensor(sigma).log() / 4
        told = torch.tensor([[6, 127, 0.02]])
        made.append(networks.unet()(sample, time, turn.endpoint.embedding * seen, told, **control)[0])
    return made[0], made[1]


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("controlled", [True, False])
def test_batches_and_folding_give_what_single_rows_give(batch: int, fold: bool, controlled: bool) -> None:
    ends, turns = passes(controlled=controlled)
    settings = SampleSettings(batch=batch, fold=fold, control_weight=0.7)

    with Denoiser(networks.unet(), endpoints=ends, settings=settings) as denoiser:
        made = denoiser.velocities(turns, sigma=3.0)
        alone = denoiser.velocity(turns[1].x, 3.0, endpoint=ends[1], control=turns[1].control)

    assert denoiser.calls == 3
    for turn, prediction in zip(turns, made, strict=True):
        torch.testing.assert_close(prediction, plain_prediction(turn, sigma=3.0, control_weight=0.7), **CLOSE)
    torch.testing.assert_close(alone, made[1], **CLOSE)


def test_a_folded_network_is_itself_again_afterwards() -> None:
    inputs = small.normal("sample", 1, 2, 8, 6, 6), torch.tensor(0.1), small.normal("e", 1, 1, 32)
    told = torch.tensor([[6, 127, 0.02]])
    before = networks.unet()(*inputs, told)[0]

    with folded(networks.unet(), inputs[2][0]):
        pass

    assert torch.equal(networks.unet()(*inputs, told)[0], before)


def test_one_encode_serves_both_directions() -> None:
    pictures, time = networks.conditions(FRAMES), torch.tensor(0.3)

    forward, backward = (networks.encoder()(shown.contiguous(), time) for shown in (pictures, pictures.flip(0)))

    torch.testing.assert_close(backward.flip(0), forward, **CLOSE)


def test_a_clip_is_encoded_once_a_noise_level() -> None:
    track = ControlTrack(networks.encoder(), networks.conditions(FRAMES), chunk=2)

    first, again = track.at(3.0), track.at(3.0)
    whole = ControlTrack(networks.encoder(), networks.conditions(FRAMES)).at(3.0)

    assert first is again
    assert track.encodes == 1
    torch.testing.assert_close(first, whole, **CLOSE)
    track.at(2.0)
    assert track.encodes == 2


def test_a_whole_step_takes_one_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    forward = ConditionEncoder.forward

    def counted(self: ConditionEncoder, pictures: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        shown.append(len(pictures))
        return forward(self, pictures, timestep)

    monkeypatch.setattr(ConditionEncoder, "forward", counted)
    latents_of(SampleSettings(steps=2), frames=FRAMES)

    assert shown == [FRAMES, FRAMES]


@pytest.mark.parametrize(("size_in", "size_out"), [((5, 5), (3, 3)), ((71, 127), (36, 64)), ((7, 9), (4, 12))])
def test_pooling_by_matrices_is_adaptive_average_pooling(size_in: tuple[int, int], size_out: tuple[int, int]) -> None:
    picture = small.normal("pooled", 2, 3, *size_in)

    made = Pooling.between(size_in, size_out)(picture)

    torch.testing.assert_close(made, functional.adaptive_avg_pool2d(picture, size_out), **CLOSE)


@pytest.mark.parametrize("size", [(48, 48), (64, 96), (576, 1024), (72, 80)])
def test_the_size_of_the_features_is_foreseen(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        made = ConditionEncoder(out_channels=32)(torch.empty(1, 3, *size), torch.tensor(0.0))

    assert made.shape == (1, 32, *encoded_size(*size))


def test_standardising_once_is_cross_normalising_every_time() -> None:
    sample, features = small.normal("sample", 2, 6, 3, 3) * 3 + 1, small.normal("features", 2, 6, 5, 5) * 2 - 4
    of_sample = torch.std_mean(sample, dim=(1, 2, 3), keepdim=True)
    of_features = torch.std_mean(features, dim=(1, 2, 3), keepdim=True)
    moved = (features - of_features[1]) * (of_sample[0] / (of_features[0] + 1e-5)) + of_sample[1]
    wanted = sample + functional.adaptive_avg_pool2d(moved, (3, 3)) * 0.2 * 0.5

    made = inject(sample, standardised(features, Pooling.between((5, 5), (3, 3))), torch.full((2, 1, 1, 1), 0.5))

    torch.testing.assert_close(made, wanted, **CLOSE)


def test_control_of_another_size_is_refused() -> None:
    inputs = small.normal("sample", 1, 2, 8, 6, 6), torch.tensor(0.1), small.normal("e", 1, 1, 32)
    with pytest.raises(ValueError, match="pool the encoder's features"):
        networks.unet()(*inputs, torch.zeros(1, 3), control=torch.zeros(2, 32, 5, 5), control_scale=torch.ones(1))


def test_the_network_is_one_graph_with_and_without_control() -> None:
    # A break in the graph would keep it from being captured as one CUDA graph.
    inputs = small.normal("sample", 1, 2, 8, 6, 6), torch.tensor(0.1), small.normal("e", 1, 1, 32), torch.ones(1, 3)
    control = {"control": small.normal("control", 2, 32, 3, 3), "control_scale": torch.tensor([1.0])}
    compiled = torch.compile(networks.unet(), fullgraph=True, backend="eager")

    for extra in (control, {}):
        torch.testing.assert_close(compiled(*inputs, **extra)[0], networks.unet()(*inputs, **extra)[0], **CLOSE)
    torch._dynamo.reset()


def test_a_folded_network_is_one_graph_too() -> None:
    ends, turns = passes()
    settings = SampleSettings()
    compiled = torch.compile(networks.unet(), fullgraph=True, backend="eager")

    with Denoiser(compiled, endpoints=ends, settings=settings) as denoiser:
        made = denoiser.velocities(turns, sigma=3.0)

    torch.testing.assert_close(made[0], plain_prediction(turns[0], sigma=3.0, control_weight=1.0), **CLOSE)
    torch._dynamo.reset()


def test_a_second_clip_compiles_nothing() -> None:
    """Folding puts new tables in place for each clip; the compiled network has to take them as they come."""
    counter = CompileCounter()
    compiled = copy.deepcopy(networks.unet())
    compiled.compile(fullgraph=True, backend=counter)
    settings = SampleSettings(steps=2)

    first = latents_of(settings, frames=FRAMES, unet=compiled)
    compiles = counter.frame_count
    second = latents_of(replace(settings, seed=1), frames=FRAMES, unet=compiled)

    assert compiles >= 1
    assert counter.frame_count == compiles
    torch.testing.assert_close(first, latents_of(settings, frames=FRAMES), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(second, latents_of(replace(settings, seed=1), frames=FRAMES), rtol=1e-3, atol=1e-4)
    torch._dynamo.reset()


def test_a_plain_svd_configuration_and_its_weights_load(tmp_path: object) -> None:
    networks.unet().save_pretrained(tmp_path)
    loaded = ControlledUNet.from_pretrained(tmp_path)

    assert loaded.config.cross_attention_dim == 32
    assert torch.equal(loaded.conv_in.weight, networks.unet().conv_in.weight)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_reversed_network_with_the_same_weights_attends_as_the_forward_one(batch: int) -> None:
    """Given the very same clip in reverse, a network of the same weights has these probabilities by itself."""
    ends, turns = passes(controlled=False)
    settings = SampleSettings(batch=batch)
    same = turns[0]
    twin = small.filled(ControlledUNet(**small.TINY), "unet")

    with Denoiser(networks.unet(), endpoints=ends, settings=settings) as forward:
        plain = forward.velocity(same.x, 3.0, endpoint=same.endpoint)
        with exchanged(networks.unet(), twin), Denoiser(twin, endpoints=ends, settings=settings) as backward:
            recorded = forward.velocity(same.x, 3.0, endpoint=same.endpoint)
            turned = backward.velocity(same.x, 3.0, endpoint=same.endpoint)
        after = forward.velocity(same.x, 3.0, endpoint=same.endpoint)

    torch.testing.assert_close(recorded, plain, **CLOSE)
    assert torch.equal(after[1], plain[1])
    assert not torch.allclose(turned[1], plain[1], atol=1e-4)


def latents_of(settings: SampleSettings, *, frames: int, **changes: object) -> torch.Tensor:
    return make_latents(
        replace(networks.models(), **changes),  # type: ignore[arg-type]
        settings,
        left=networks.picture("left"),
        right=networks.picture("right"),
        conditions=networks.conditions(frames),
        frames=frames,
    )


@pytest.mark.parametrize("fusion", list(Fusion))
def test_every_fusion_runs_on_the_networks(fusion: Fusion) -> None:
    settings = SampleSettings(fusion=fusion, steps=2, seed=3)

    latents = latents_of(settings, frames=FRAMES, unet_backward=networks.unet("backward"))

    assert latents.shape == (1, FRAMES, 4, 6, 6)
    assert bool(torch.isfinite(latents).all())


def test_swapping_the_pictures_reverses_the_clip() -> None:
    settings = SampleSettings(steps=2)
    augmentation, start = small.normal("augmentation", 1, 3, 48, 48), small.normal("n", 1, FRAMES, 4, 6, 6)
    pictures, conditions = (networks.picture("left"), networks.picture("right")), networks.conditions(FRAMES)

    def run(*, swapped: bool) -> torch.Tensor:
        draws = iter([augmentation, flip(start) if swapped else start])
        left, right = reversed(pictures) if swapped else pictures
        return make_latents(
            networks.models(),
            settings,
            left=left,
            right=right,
            conditions=conditions.flip(0).contiguous() if swapped else conditions,
            frames=FRAMES,
            noise=lambda _shape: next(draws),
        )

    torch.testing.assert_close(flip(run(swapped=True)), run(swapped=False), rtol=1e-3, atol=1e-4)


def test_no_control_weight_is_no_conditions() -> None:
    settings = SampleSettings(steps=2, control_weight=0)
    without = make_latents(
        networks.models(),
        settings,
        left=networks.picture("left"),
        right=networks.picture("right"),
        conditions=None,
        frames=FRAMES,
    )

    assert torch.equal(latents_of(settings, frames=FRAMES), without)
    assert not torch.allclose(latents_of(SampleSettings(steps=2), frames=FRAMES), without, atol=1e-4)


def test_decoding_in_chunks_gives_every_frame_in_order() -> None:
    latents = small.normal("latents", 1, 5, 4, 6, 6)

    alone, pairs, whole = (torch.stack(list(decoded(networks.models(), latents, chunk=chunk))) for chunk in (1, 2, 5))

    assert alone.shape == pairs.shape == whole.shape == (5, 3, 48, 48)
    # The decoder sees motion within a chunk only: the last frame of five is alone in its chunk of two.
    torch.testing.assert_close(pairs[4], alone[4], **CLOSE)
    assert not torch.allclose(pairs[0], whole[0], atol=1e-4)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1


@pytest.mark.parametrize("size", [(48, 48), (576, 1024), (301, 512)])
def test_the_resize_for_clip_is_svds(size: tuple[int, int]) -> None:
    from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as published

    picture = small.normal("resized", 1, 3, *size)

    wanted = published._resize_with_antialiasing(picture, (224, 224))

    torch.testing.assert_close(antialiased(picture, side=224), wanted, **CLOSE)


def test_a_clip_comes_out_frame_by_frame_and_tells_what_it_does() -> None:
    shares: list[float] = []
    stages: list[Stage] = []

    frames = list(
        generate(
            networks.models(),
            SampleSettings(steps=2),
            left=networks.picture("left"),
            right=networks.picture("right"),
            conditions=networks.conditions(FRAMES),
            frames=FRAMES,
            progress=shares.append,
            stage=stages.append,
        )
    )

    assert [tuple(frame.shape) for frame in frames] == [(3, 48, 48)] * FRAMES
    assert stages == [Stage.ENCODE, Stage.SAMPLE, Stage.DECODE]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_clip_is_cancelled_between_calls_and_between_chunks(after: int) -> None:
    asked = iter(range(100))
    making = generate(
        networks.models(),
        SampleSettings(steps=2),
        left=networks.picture("left"),
        right=networks.picture("right"),
        conditions=None,
        frames=FRAMES,
        cancelled=lambda: next(asked) == after - 1,
    )

    with pytest.raises(Cancelled):
        list(making)
    assert next(asked) == after


def test_weights_that_give_no_numbers_cannot_fill() -> None:
    broken = small.filled(ControlledUNet(**small.TINY), "unet")
    broken.conv_out.bias[0] = float("nan")

    with pytest.raises(CannotFill, match="not finite at call 1 of 4"):
        latents_of(SampleSettings(steps=2), frames=FRAMES, unet=broken)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_near(precision: str) -> None:
    full = latents_of(SampleSettings(steps=3), frames=FRAMES)
    models = copy.deepcopy(networks.models()).placed(device="cpu", dtype=getattr(torch, precision))

    half = make_latents(
        models,
        SampleSettings(steps=3),
        left=networks.picture("left"),
        right=networks.picture("right"),
        conditions=networks.conditions(FRAMES),
        frames=FRAMES,
    )

    assert models.vae.dtype == torch.float32
    assert half.dtype == torch.float32
    # bfloat16 has 8 bits, and 12 calls each add their own rounding.
    assert float((half - full).norm() / full.norm()) < (0.05 if precision == "bfloat16" else 0.01)


def test_offloaded_networks_are_at_home_before_and_after_work() -> None:
    models = networks.models().placed(device="cpu", offload=True)

    with models.at_work(models.unet, None):
        assert models.unet.device.type == "cpu"

    assert torch.equal(
        make_latents(
            models,
            SampleSettings(steps=2),
            left=networks.picture("left"),
            right=networks.picture("right"),
            conditions=networks.conditions(FRAMES),
            frames=FRAMES,
        ),
        latents_of(SampleSettings(steps=2), frames=FRAMES),
    )


@pytest.mark.parametrize(
    ("left", "right", "conditions", "match"),
    [
        ((3, 48, 50), (3, 48, 50), None, "divisible by 8"),
        ((3, 48, 48), (3, 48, 56), None, "both must have one size"),
        ((3, 48, 48), (3, 48, 48), (2, 3, 48, 48), "this clip needs"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    left: tuple[int, ...], right: tuple[int, ...], conditions: tuple[int, ...] | None, match: str
) -> None:
    with pytest.raises(EngineError, match=match):
        make_latents(
            networks.models(),
            SampleSettings(steps=2),
            left=torch.zeros(left),
            right=torch.zeros(right),
            conditions=None if conditions is None else torch.zeros(conditions),
            frames=FRAMES,
        )
