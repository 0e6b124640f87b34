"""`SampleSettings`: what a user chooses about sampling, and what that costs in UNet calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from codec_plugin.errors import OptionError
from fcvg.sampling.profile import EXACT, Profile


class Fusion(StrEnum):
    """How the forward and the backward direction become one clip."""

    FCVG = "fcvg"
    """Velocities averaged, closer frames' direction first (Zhu et al., arXiv 2412.11755)."""
    TRF = "trf"
    """Steps averaged, with one jump back (Feng et al., arXiv 2403.14611)."""
    GI = "gi"
    """Two networks that share temporal attention (Wang et al., arXiv 2408.15239)."""
    VIBID = "vibid"
    """Directions one after the other, bound to the other endpoint (Yang et al., arXiv 2410.05651)."""
    MPD = "mpd"
    """ViBiD or TRF, with the forward motion carried over to the backward one (Jeon et al., arXiv 2602.12679)."""


class WindowScope(StrEnum):
    """What a window of a clip longer than the network's own counts as."""

    WINDOW = "window"
    """A clip of its own: its own fusion weights, the clip's first condition in its first place. As published."""
    CLIP = "clip"
    """A part of the clip: fusion weights and conditions are the clip's."""


PUBLISHED_STEPS = {Fusion.FCVG: 25, Fusion.TRF: 50, Fusion.GI: 50, Fusion.VIBID: 25}
"""Steps with which each was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSettings:
    """Everything about sampling but the pictures and the weights."""

    fusion: Fusion = Fusion.FCVG
    """How the directions are fused."""
    steps: int | None = None
    """Denoising steps; None for as many as the fusion was published with."""
    profile: Profile = EXACT
    """What is left out to be faster."""
    guidance: float = 3.0
    """Weight of the image condition against none, at its strongest; `vibid` has its own and ignores it."""
    control_weight: float = 1.0
    """Weight of the condition pictures; 0 turns them off."""
    seed: int = 0
    """Of all the noise of the clip."""
    window: int = 25
    """The most frames the network sees at once; longer clips are made in windows."""
    overlap: int = 6
    """Frames that neighbouring windows share."""
    scope: WindowScope = WindowScope.WINDOW
    """What a window counts as; only `fcvg` knows any other than the clip's."""
    mpd_base: Fusion = Fusion.VIBID
    """What `mpd` builds on: vibid or trf."""
    batch: int = 4
    """Passes run together: 4 (both directions, both guidance halves), 2 (both halves) or 1. Less takes less memory."""
    fold: bool = True
    """Whether cross-attention to the one image token is computed once a clip instead of in every call."""
    decode_chunk: int = 2
    """Frames decoded together: more takes more memory, and the decoder sees more of the motion."""
    noise_augmentation: float = 0.02
    """Noise added to the endpoint pictures before they are encoded, of a picture in [-1, 1]."""
    fps: int = 7
    """The frame rate that the network is told."""
    motion_bucket: int = 127
    """The amount of motion that the network is told, 0 to 255."""

    def __post_init__(self) -> None:
        faults = [
            (self.steps is not None and self.steps < 2, f"steps must be at least 2, not {self.steps}"),
            (self.batch not in (1, 2, 4), f"batch must be 1, 2 or 4, not {self.batch}"),
            (self.control_weight < 0, f"control_weight must not be negative, but is {self.control_weight}"),
            (self.guidance < 1, f"guidance must be at least 1, not {self.guidance}"),
            (
                not 1 <= self.overlap < self.window,
                f"overlap must be at least 1 and less than the window of {self.window} frames, not {self.overlap}",
            ),
            (self.decode_chunk < 1, f"decode_chunk must be at least 1, not {self.decode_chunk}"),
            (
                self.mpd_base not in (Fusion.VIBID, Fusion.TRF),
                f"mpd builds on vibid or trf, not on {self.mpd_base}",
            ),
            *self._profile_faults(),
        ]
        for wrong, message in faults:
            if wrong:
                raise OptionError(message)

    @property
    def base(self) -> Fusion:
        """The fusion, or what it builds on."""
        return self.mpd_base if self.fusion is Fusion.MPD else self.fusion

    @property
    def steps_taken(self) -> int:
        """The steps that will be run."""
        return self.steps or self.profile.steps or PUBLISHED_STEPS[self.base]

    def _profile_faults(self) -> list[tuple[bool, str]]:
        """What speaks against the profile with this fusion."""
        profile = self.profile
        two_networks, goes_back = self.fusion is Fusion.GI, self.base is Fusion.TRF
        both = f"the profile {profile.name} with the fusion {self.fusion}"
        return [
            (
                self.steps is not None and profile.steps not in (None, self.steps),
                f"the profile {profile.name} takes {profile.steps} steps, and steps={self.steps} says otherwise: "
                "leave one of the two out",
            ),
            (
                two_networks and profile.reuse_interval > 1,
                f"{both} makes no sense: gi takes each step of its first half five times more from new noise, which "
                "kept features know nothing of; choose late-guidance, 12-steps or 8-steps",
            ),
            (
                two_networks and profile.consistency,
                f"{both} makes no sense: gi's second network has no consistency weights; choose late-guidance, "
                "12-steps or 8-steps",
            ),
            (
                goes_back and profile.steps is not None,
                f"{both} makes no sense: trf goes back to the noise once in 50 steps, and in {profile.steps} there is "
                "nothing to go back over; choose late-guidance or deepcache",
            ),
        ]
