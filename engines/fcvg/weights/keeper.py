"""`FcvgWeights`: FCVG's weights as `codec-plugin weights` sees them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from codec_plugin.errors import EngineError
from codec_plugin.weights import WeightsPart, WeightsReport
from fcvg.sampling.profile import ProfileName
from fcvg.weights.header import BadTensorFile, read_header
from fcvg.weights.layout import (
    COMPONENTS,
    ENCODER,
    LCM_UNET,
    PARTS,
    TUNED_UNET,
    UNTRAINED,
    default_folder,
    find_svd,
    lacks_consistency,
)

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "cv2")


class FcvgWeights:
    """See `codec_plugin.weights.WeightsKeeper`."""

    def default_folder(self) -> Path:
        """`codec-plugin/fcvg` in the user's data directory."""
        return default_folder()

    def parts(self) -> tuple[WeightsPart, ...]:
        """SVD's first, then FCVG's own, then what is optional."""
        return PARTS

    def check(self, folder: Path) -> WeightsReport:
        """What is in a folder.

        Raises:
            EngineError: torch, diffusers or transformers isn't installed.
        """
        require_packages()
        from fcvg.weights.check import check_weights

        return check_weights(folder).report

    def fetch(self, part: WeightsPart, folder: Path, *, say: Callable[[str], None]) -> None:
        """Downloads a part.

        Raises:
            EngineError: it can't be had.
        """
        from fcvg.weights.fetch import fetch_part

        fetch_part(part, folder, say=say)


def require_packages() -> None:
    """Raises `EngineError` where one of the packages that the networks need isn't installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise EngineError(f"fcvg runs on {', '.join(missing)}, which isn't installed: pip install 'codec-plugin[fcvg]'")


def require_files(folder: Path, *, svd: str | None, allow_untrained: bool) -> None:
    """A look at the folder that costs nothing: are the files there, and do they say that they are untrained?

    Raises:
        EngineError: some are missing, or are random ones that weren't asked for.
    """
    base = find_svd(folder, svd)
    needed = [folder / TUNED_UNET, folder / ENCODER, *(part.weights_in(base) for part in COMPONENTS)]
    missing = [path for path in needed if not path.is_file()]
    if len(missing) == len(needed):
        raise EngineError(
            f"fcvg has no weights in {folder}: give --weights DIR; `codec-plugin weights fetch DIR` gets what can be "
            "fetched and says where the rest is to be had (all of them are for non-commercial use)"
        )
    if missing:
        raise EngineError(
            f"fcvg lacks {missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; "
            f"`codec-plugin weights check {folder}` says everything"
        )
    random = [path.name for path in needed if _is_untrained(path)]
    if random and not allow_untrained:
        raise EngineError(
            f"the weights in {folder} are random, never trained ({', '.join(sorted(set(random)))}): "
            "they make noise, not pictures; --allow-untrained takes them all the same"
        )


def require_profile(folder: Path, profile: ProfileName) -> None:
    """Looks whether the weights that a profile needs are there.

    Raises:
        EngineError: they aren't.
    """
    if profile is ProfileName.LCM and not (folder / LCM_UNET).is_file():
        raise EngineError(lacks_consistency(folder))


def _is_untrained(path: Path) -> bool:
    try:
        return UNTRAINED in read_header(path).metadata
    except (BadTensorFile, OSError):
        return False  # the full check says what is wrong with it
