"""A weights folder: every fault is named, nothing is fetched without consent, and what is sound loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")
pytest.importorskip("transformers", reason="the fcvg extra is not installed")

import huggingface_hub
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file

from codec_plugin import EngineError, OptionError
from codec_plugin.weights import WeightsKeeper, keeping, weights_keeper
from fcvg.tiny import make_tiny
from fcvg.weights.check import check_weights, require
from fcvg.weights.fetch import wanted_files
from fcvg.weights.header import BadTensorFile, read_header
from fcvg.weights.layout import (
    COMPONENTS,
    ENCODER,
    PARTS,
    SCHEDULER_CONFIG,
    SVD_FOLDER,
    TUNED_UNET,
    UNTRAINED,
    default_folder,
    find_svd,
)
from fcvg.weights.load import load_weights
from tests.makers import CommandLine

UNET_FILE = f"{SVD_FOLDER}/unet/diffusion_pytorch_model.safetensors"
LICENCE = "stable-video-diffusion-1-1-community"


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("COLUMNS", "200")
    return CommandLine(tmp_path, capfd)


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in check_weights(folder).report.problems]


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A safetensors file again, its tensors changed."""
    metadata = dict(read_header(path).metadata)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


def reconfigure(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_whole_set_has_no_problem_and_says_how_much_of_the_unet_was_tuned(tiny_weights: Path) -> None:
    report = check_weights(tiny_weights).report

    assert report.problems == ()
    assert "unet.safetensors: 104 of the UNet's 422 tensors, laid over SVD's own" in report.notes
    assert [part.name for part in report.absent] == [
        "gluestick",
        "superpoint",
        "dwpose",
        "yolox",
        "unet_backward",
        "unet_lcm",
    ]


def test_the_tiny_set_is_small_reproducible_and_says_that_it_is_random(tiny_weights: Path, tmp_path: Path) -> None:
    files = [path for path in tiny_weights.rglob("*") if path.is_file()]
    again = make_tiny(tmp_path / "again")

    assert sum(path.stat().st_size for path in files) < 12e6
    for path in files:
        twin = again / path.relative_to(tiny_weights)
        if path.suffix == ".json":
            assert path.read_text() == twin.read_text()
        else:
            ours, theirs = load_file(path), load_file(twin)
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert len(check_weights(tiny_weights).report.untrained) == 5
    assert "never trained" in read_header(tiny_weights / ENCODER).metadata[UNTRAINED]


@pytest.mark.parametrize(
    "name", [TUNED_UNET, ENCODER, UNET_FILE, f"{SVD_FOLDER}/vae/config.json", f"{SVD_FOLDER}/{SCHEDULER_CONFIG}"]
)
def test_a_missing_file_is_named_with_where_to_get_it(weights: Path, name: str) -> None:
    (weights / name).unlink()

    found = problems(weights)

    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")
    assert "get" in found[0]
    assert "licence: " in found[0]


def test_an_empty_folder_lacks_three_things(tmp_path: Path) -> None:
    names = [problem.file for problem in check_weights(tmp_path).report.problems]

    assert names == [SVD_FOLDER, TUNED_UNET, ENCODER]


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(weights: Path, kept: int) -> None:
    path = weights / ENCODER
    path.write_bytes(path.read_bytes()[:kept])

    (found,) = problems(weights)

    assert ENCODER in found
    assert "cut off" in found
    with pytest.raises(EngineError, match="cut off"):
        load_weights(weights)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><html>quota exceeded</html>", "no safetensors file"),
        (b"\x80\x02}q\x00." * 20, "no safetensors file"),
        ((2).to_bytes(8, "little") + b"{}" + b"\0" * 9, "too long"),
        ((2).to_bytes(8, "little") + b"[]", "no safetensors file"),
        (
            (75).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'.ljust(75)
            + b"\0" * 12,
            "overlap, or leave gaps",
        ),
        (
            (75).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}'.ljust(75)
            + b"\0" * 8,
            "not its shape",
        ),
    ],
    ids=["a web page", "a pickle", "data that nobody owns", "a list", "a hole", "a wrong size"],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)

    with pytest.raises(BadTensorFile, match=says):
        read_header(path)


def test_another_models_weights_are_refused_by_their_keys(weights: Path) -> None:
    (weights / TUNED_UNET).write_bytes((weights / ENCODER).read_bytes())

    found = problems(weights)

    assert "48 unknown keys: " in found[0]
    assert "and 45 more" in found[0]
    assert "4 wrong shapes: time_embedding.linear_1" in found[1]


def test_a_tuned_file_that_tunes_nothing_is_refused(weights: Path) -> None:
    save_file({"nothing.known": torch.zeros(1)}, weights / TUNED_UNET)

    assert "not one of its tensors belongs to this UNet" in problems(weights)[1]


def test_an_unknown_key_and_a_wrong_shape_are_named(weights: Path) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["made.up"] = torch.zeros(2)
        tensors["time_embedding.linear_1.weight"] = torch.zeros(3, 4)
        del tensors["embedding.0.bias"]

    rewrite(weights / ENCODER, spoil)
    found = "\n".join(problems(weights))

    assert "1 unknown keys: made.up" in found
    assert "time_embedding.linear_1.weight is 3x4, not 256x128" in found
    assert "1 of 52 tensors are missing: embedding.0.bias" in found


def test_a_configuration_of_other_weights_is_refused(weights: Path) -> None:
    reconfigure(weights / SVD_FOLDER / "unet" / "config.json", block_out_channels=[32, 64])

    found = "\n".join(problems(weights))

    assert f"{UNET_FILE}: " in found
    assert "wrong shapes" in found


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "it is for UNet2DConditionModel, not for"),
        ("unet/config.json", {"cross_attention_dim": 64}, "takes embeddings of 64 numbers"),
        ("unet/config.json", {"down_block_types": ["Nonsense", "Nonsense"]}, "its values make no"),
        ("vae/config.json", {"latent_channels": 16}, "in_channels other than 32"),
        ("scheduler/scheduler_config.json", {"prediction_type": "epsilon"}, "is epsilon, not v_prediction"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    weights: Path, file: str, values: dict[str, object], says: str
) -> None:
    reconfigure(weights / SVD_FOLDER / file, **values)

    assert any(says in problem for problem in problems(weights))


def test_a_configuration_that_is_no_json_is_refused(weights: Path) -> None:
    (weights / SVD_FOLDER / "vae" / "config.json").write_text("<html>")

    assert any("vae/config.json: it can't be read" in problem for problem in problems(weights))


def test_a_refusal_names_the_first_faults_and_where_to_read_all(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"can't be used:\n.*missing(.*\n)*.*weights check"):
        require(check_weights(tmp_path))


def test_tuned_tensors_lie_over_svds_own_and_the_rest_stays(weights: Path) -> None:
    key = "conv_in.bias"
    save_file({key: torch.full((32,), 5.0)}, weights / TUNED_UNET)

    tuned = load_weights(weights).unet.state_dict()
    plain = load_weights(weights, tuned=False).unet.state_dict()

    assert (tuned[key] == 5).all()
    assert not (plain[key] == 5).any()
    assert all(torch.equal(tuned[name], plain[name]) for name in plain if name != key)


def test_loading_gives_every_tensor_of_the_files_in_the_type_asked_for(weights: Path) -> None:
    models = load_weights(weights, dtype=torch.bfloat16)
    stored = load_file(weights / ENCODER)

    assert {parameter.dtype for parameter in models.unet.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in models.vae.parameters()} == {torch.float32}
    assert all(not value.is_meta for value in (*models.image_encoder.buffers(), *models.image_encoder.parameters()))
    for key, value in models.encoder.state_dict().items():
        torch.testing.assert_close(value, stored[key].to(torch.bfloat16))


def test_the_image_encoder_counts_its_positions_as_a_fresh_one_does(weights: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    models = load_weights(weights)
    config = CLIPVisionConfig(**json.loads((weights / SVD_FOLDER / "image_encoder" / "config.json").read_text()))
    fresh = CLIPVisionModelWithProjection(config).eval()
    fresh.load_state_dict(models.image_encoder.state_dict())
    seen = torch.rand(1, 3, 224, 224)

    with torch.inference_mode():
        torch.testing.assert_close(models.image_encoder(seen).image_embeds, fresh(seen).image_embeds)


def test_half_precision_files_serve_where_the_full_ones_are_missing(weights: Path) -> None:
    path = weights / UNET_FILE
    path.rename(path.with_suffix("").with_suffix(".fp16.safetensors"))

    assert problems(weights) == []


def test_the_svd_part_may_lie_elsewhere(weights: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "svd"
    (weights / SVD_FOLDER).rename(elsewhere)

    assert [problem.file for problem in check_weights(weights).report.problems] == [SVD_FOLDER]
    assert check_weights(weights, svd=str(elsewhere)).report.problems == ()


def test_a_hub_id_means_the_hubs_cache_on_this_machine(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--someone--svd" / "snapshots" / ("a" * 40)
    (weights / SVD_FOLDER).rename(tmp_path / "svd")
    snapshot.parent.mkdir(parents=True)
    (tmp_path / "svd").rename(snapshot)
    (tmp_path / "hub" / "models--someone--svd" / "refs").mkdir()
    (tmp_path / "hub" / "models--someone--svd" / "refs" / "main").write_text("a" * 40)
    found = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda name, file: found(name, file, cache_dir=tmp_path / "hub")
    )

    assert find_svd(weights, "someone/svd") == snapshot
    assert check_weights(weights, svd="someone/svd").report.problems == ()
    assert check_weights(weights, svd="no one/at all").report.problems != ()


def test_the_default_folder_follows_the_users_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert default_folder() == tmp_path / "codec-plugin" / "fcvg"


def test_fcvg_is_the_one_built_in_engine_whose_weights_a_user_gets() -> None:
    assert keeping() == ("fcvg",)
    assert isinstance(weights_keeper("fcvg"), WeightsKeeper)
    with pytest.raises(EngineError, match=r"dis needs no weights from outside; those that do: fcvg"):
        weights_keeper("dis")


def test_the_check_command_says_all_and_fails_where_something_is_wrong(cli: CommandLine, weights: Path) -> None:
    assert "nowhere: there is no such folder" in cli("weights", "check", weights / "nowhere").out
    said = cli.done("weights", "check", weights).out
    (weights / ENCODER).unlink()
    ran = cli("weights", "check", weights)

    assert "all that is needed is there" in said
    assert "random, never trained" in said
    assert ran.code == 1
    assert f"{ENCODER}: missing" in ran.out
    assert "1 problem" in ran.out


# ---- fetching: the hub stands for itself at the two functions through which it is asked


@pytest.fixture
def hub(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that offers the tiny set's SVD part; gives what was downloaded from it."""
    source = tiny_weights / SVD_FOLDER
    names = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
    taken: list[str] = []

    def download(repository: str, name: str, *, local_dir: Path) -> str:
        assert repository == "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
        taken.append(name)
        target = Path(local_dir) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / name).read_bytes())
        return str(target)

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repository: [*names, "svd.safetensors"])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return taken


def test_fetching_shows_the_licence_and_says_what_is_left_to_do(
    cli: CommandLine, hub: list[str], tmp_path: Path, tiny_weights: Path
) -> None:
    folder = tmp_path / "fetched"

    said = cli.done("weights", "fetch", folder, "--accept-licence", LICENCE).out

    assert "non-commercial community licence" in said
    assert "gated" in said
    assert f"{folder / TUNED_UNET}\n    FCVG's fine-tuned UNet; from the file drive" in said
    assert "its authors state no licence" in said
    assert len(hub) == 8
    assert "svd.safetensors" not in hub
    assert [problem.file for problem in check_weights(folder).report.problems] == [TUNED_UNET, ENCODER]


def test_nothing_is_fetched_without_consent(cli: CommandLine, hub: list[str], tmp_path: Path) -> None:
    said = cli.refused("weights", "fetch", tmp_path / "fetched")

    assert f"--accept-licence {LICENCE} says so" in said
    assert hub == []


def test_a_licence_that_is_not_asked_for_cannot_be_accepted(cli: CommandLine, hub: list[str], tmp_path: Path) -> None:
    assert LICENCE in cli.refused("weights", "fetch", tmp_path / "fetched", "--accept-licence", "mit")
    assert hub == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_person_is_asked_and_only_yes_counts(
    hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    from click.testing import CliRunner

    from codec_plugin.cli import weights as command

    monkeypatch.setattr(command, "_somebody_is_here", lambda: True)
    ran = CliRunner().invoke(command.fetch_command, [str(tmp_path / "fetched")], input=answer)

    assert ran.exit_code == code
    assert "do you accept it?" in ran.output
    assert bool(hub) is (code == 0)


def test_a_closed_gate_is_explained(
    cli: CommandLine, hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **named: object) -> None:
        response = SimpleNamespace(headers={}, status_code=403, request=None)
        raise GatedRepoError("403: awaiting a review", response=response)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)

    ran = cli("weights", "fetch", tmp_path / "fetched", "--accept-licence", LICENCE)

    assert ran.code == 1
    assert "terms have to be accepted" in ran.err
    assert "hf auth login" in ran.err


def test_a_hub_out_of_reach_is_explained(
    cli: CommandLine, hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, repository: str) -> list[str]:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)

    ran = cli("weights", "fetch", tmp_path / "fetched", "--accept-licence", LICENCE)

    assert ran.code == 1
    assert "no route to host" in ran.err
    assert "from another machine" in ran.err


def test_of_two_precisions_the_half_one_is_fetched_and_each_network_once() -> None:
    full = [f"{part.name}/{part.stem}.safetensors" for part in COMPONENTS]
    half = [f"{part.name}/{part.stem}.fp16.safetensors" for part in COMPONENTS]
    rest = [SCHEDULER_CONFIG, *(f"{part.name}/config.json" for part in COMPONENTS)]

    assert set(wanted_files([*full, *half, *rest, "svd_xt_1_1.safetensors"])) == {*half, *rest}
    assert set(wanted_files([*full, *rest])) == {*full, *rest}
    with pytest.raises(EngineError, match=r"doesn't have .*model\.safetensors"):
        wanted_files([*full[:2], *rest])


def test_what_no_hub_offers_is_never_fetched(tmp_path: Path) -> None:
    keeper = weights_keeper("fcvg")
    by_hand = [part for part in PARTS if not part.fetched]

    assert {part.name for part in by_hand} >= {"unet", "controlnext"}
    with pytest.raises(EngineError, match="no hub offers it"):
        keeper.fetch(by_hand[0], tmp_path, say=lambda text: None)


def test_options_errors_are_options_errors() -> None:
    from fcvg import FcvgOptions

    for wrong, says in (
        ({"size": "1000x500"}, "multiples of 64"),
        ({"size": "big"}, "auto, native or WxH"),
        ({"steps": 1}, "steps"),
        ({"seed": -1}, "seed"),
        ({"guidance": 0.5}, "guidance"),
        ({"batch": 3}, "batch"),
    ):
        with pytest.raises(OptionError, match=says):
            FcvgOptions(**wrong)  # type: ignore[arg-type]
