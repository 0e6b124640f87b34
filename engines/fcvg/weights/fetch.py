"""Downloads the SVD part of the weights through huggingface_hub. The user has read and accepted its licence by then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from codec_plugin.errors import EngineError
from codec_plugin.weights import WeightsPart
from fcvg.weights.layout import COMPONENTS, FEATURE_EXTRACTOR_CONFIG, SCHEDULER_CONFIG, SVD, SVD_FOLDER, SVD_ID


def wanted_files(offered: list[str]) -> list[str]:
    """Which of a repository's files to take: configurations, and each network once, in half precision where it is so.

    Args:
        offered: the names of all its files.

    Raises:
        EngineError: a network is missing.
    """
    wanted = [SCHEDULER_CONFIG, FEATURE_EXTRACTOR_CONFIG, *(f"{part.name}/config.json" for part in COMPONENTS)]
    for component in COMPONENTS:
        names = [f"{component.name}/{component.stem}{end}" for end in (".fp16.safetensors", ".safetensors")]
        wanted.append(next((name for name in names if name in offered), names[-1]))
    lacking = [name for name in wanted if name not in offered and name != FEATURE_EXTRACTOR_CONFIG]
    if lacking:
        raise EngineError(
            f"the hub's repository {SVD_ID} doesn't have {', '.join(lacking)}: it isn't laid out as known"
        )
    return [name for name in wanted if name in offered]


def fetch_part(part: WeightsPart, folder: Path, *, say: Callable[[str], None]) -> None:
    """Downloads a part into its place. What is there already and whole isn't downloaded again.

    Args:
        part: of `layout.PARTS`, one that is `fetched`.
        folder: the weights folder.
        say: told what happens.

    Raises:
        EngineError: it can't be had: not offered, gate not passed, no network, no room.
    """
    if not part.fetched:
        raise EngineError(f"{part.what}: no hub offers it; get it from {part.source}, as {folder / part.place}")
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    except ImportError as error:
        raise EngineError(
            "fetching needs huggingface_hub; install it with: pip install 'codec-plugin[fcvg]'"
        ) from error
    target = folder / SVD_FOLDER
    try:
        target.mkdir(parents=True, exist_ok=True)
        wanted = wanted_files(HfApi().list_repo_files(SVD_ID))
        for number, name in enumerate(wanted, start=1):
            say(f"  {number} of {len(wanted)}: {name}")
            hf_hub_download(SVD_ID, name, local_dir=target)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise EngineError(
            f"the hub doesn't let {SVD_ID} go: its owner's terms have to be accepted on the repository's page on "
            "the hub, with an account there; then run `hf auth login` here, and fetch again"
        ) from error
    except HfHubHTTPError as error:
        raise EngineError(f"the hub refused {SVD_ID}: {error}") from error
    except Exception as error:  # the hub's client lets its network library's own errors through
        raise EngineError(
            f"{SVD.what} can't be fetched: {type(error).__name__}: {error}; what was fetched stays, so try again, "
            f"or bring the folder {SVD_ID} from another machine to {target}"
        ) from error
