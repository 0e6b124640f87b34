"""`FcvgEngine`: FCVG under the `Engine` protocol. Torch is imported when there is something to estimate or to fill."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from codec_plugin.engine import EngineInfo, Estimate, FillRequest, Take
from codec_plugin.engine_work import Operations
from codec_plugin.errors import CannotFill, EngineError
from codec_plugin.picture import Picture
from fcvg.conditions.gluestick.files import uses_gluestick
from fcvg.conditions.pose.files import pose_files
from fcvg.exporter import FcvgExporter
from fcvg.options import FcvgOptions
from fcvg.runtimes import FcvgRuntime
from fcvg.weights.keeper import FcvgWeights, require_files, require_packages, require_profile
from fcvg.weights.layout import default_folder
from modelrt.errors import ModelRuntimeError

if TYPE_CHECKING:
    import torch

    from fcvg.account import Account
    from fcvg.canvas import Canvas, Rgb
    from fcvg.conditions.conditioner import Conditioner
    from fcvg.cost import Cost
    from fcvg.layout import ClipLayout
    from fcvg.loading import Loader
    from fcvg.place import Place
    from fcvg.weights.check import Checked

MIN_SIDE = 64
"""The least width and height of a film's pictures."""
LONG_S = 600.0
"""Seconds a gap from which work without a GPU has to be asked for."""


class FcvgEngine:
    """Fills large gaps with FCVG: a video diffusion model, steered by the lines that both ends have in common.

    Weights are checked when the first gap is estimated, loaded when it is filled, and kept until `close`.
    """

    info = EngineInfo(
        name="fcvg",
        summary="video diffusion steered by matched lines (FCVG), for gaps of 5 frames and more",
        take=Take.RGB,
        min_size=MIN_SIDE,
        fallback="dis",
        generative=True,
    )
    options_type = FcvgOptions
    weights = FcvgWeights()
    exporter = FcvgExporter()

    def __init__(self, options: FcvgOptions | None = None, *, conditioner: Conditioner | None = None) -> None:
        """Looks whether packages and weights are there; loads nothing.

        Args:
            options: how it works.
            conditioner: draws the condition pictures; None for what the options ask for.

        Raises:
            EngineError: a package or a file is missing, or the weights are random and that wasn't asked for.
        """
        self.options = options or FcvgOptions()
        """How this engine works."""
        self._folder = self.options.weights or default_folder()
        self._given_conditioner = conditioner
        self._conditioner = conditioner
        require_packages()
        require_files(self._folder, svd=self.options.svd, allow_untrained=self.options.allow_untrained)
        require_profile(self._folder, self.options.profile)
        # Both raise where a file is wanted and isn't there.
        pose_files(self._folder, self.options.poses)
        uses_gluestick(self._folder, self.options.lines)
        self._checked_weights: Checked | None = None
        self._loader: Loader | None = None

    def estimate(self, size: tuple[int, int], *, positions: int) -> Estimate:
        """Time and memory of one gap.

        Args:
            size: (width, height) in pixels.
            positions: frames to make.

        Raises:
            EngineError: the weights can't be used, or the work would take long without a GPU and that wasn't asked for;
                the message has the hours.
            CannotFill: there is too little memory, or the pictures are too small; the message has the numbers.
        """
        from fcvg.layout import BUCKETS

        frames = next((bucket for bucket in BUCKETS if bucket >= positions + 2), positions + 2)
        canvas = self._canvas(size)
        cost = self._afforded(canvas, frames=frames)
        if self.options.runtime is not FcvgRuntime.TORCH:
            self._loading().check(canvas.size, frames=frames)
        return Estimate(seconds=cost.seconds, bytes=cost.bytes)

    @property
    def device(self) -> str:
        """Where the networks compute, as torch names it.

        Raises:
            EngineError: there is no such device here.
        """
        return str(self._place().device)

    def operations(self, size: tuple[int, int], *, positions: int) -> Operations:
        """The networks' arithmetic in one gap, beside the speed of a matrix product here.

        Raises:
            EngineError, CannotFill: as `estimate` says.
        """
        from fcvg.cost import matmul_speed
        from fcvg.layout import BUCKETS

        frames = next((bucket for bucket in BUCKETS if bucket >= positions + 2), positions + 2)
        place = self._place()
        cost = self._afforded(self._canvas(size), frames=frames)
        return Operations(flops=cost.flops, flops_per_s=matmul_speed(place.device.type, place.dtype))

    def fill(self, request: FillRequest) -> Iterator[Picture]:
        """Yields one picture for each position; all of them are made before the first.

        Raises:
            CannotFill: the frames are equal or too small, memory is too little, or the networks gave numbers that are
                not finite.
            Cancelled: the caller asked to stop.
            EngineError: as `estimate` says.
        """
        import torch

        from fcvg.account import Account
        from fcvg.layout import layout_of

        left, right = (np.stack(picture.planes, axis=-1) for picture in (request.left, request.right))
        if np.array_equal(left, right):
            raise CannotFill("both frames are the same picture: there is no motion to make")
        canvas, layout = self._canvas((request.left.width, request.left.height)), layout_of(request.positions)
        self._afforded(canvas, frames=layout.frames)
        account = Account(request.tell, device=self._place().device)
        try:
            made = self._made(request, left, right, canvas=canvas, layout=layout, account=account)
        except (MemoryError, torch.OutOfMemoryError, RuntimeError, ModelRuntimeError) as error:
            if isinstance(error, EngineError):
                raise
            if not _is_memory(error):
                if isinstance(error, ModelRuntimeError):
                    raise EngineError(f"fcvg can't run its networks: {error}") from error
                raise
            raise CannotFill(
                f"memory ran out with {layout.frames} frames at {_size(canvas)}; "
                "a smaller --fcvg-size, batch=1 or offload=yes takes less"
            ) from error
        finally:
            account.close()
        for rgb in made:
            planes = tuple(np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
            yield Picture(planes=planes, layout=request.left.layout, color=request.left.color)

    def close(self) -> None:
        """Frees the networks. It may be called twice."""
        if self._loader is not None:
            self._loader.close()
        self._loader = None
        self._conditioner = self._given_conditioner

    def _canvas(self, picture: tuple[int, int]) -> Canvas:
        from fcvg.canvas import Canvas

        if min(picture) < MIN_SIDE:
            raise CannotFill(f"fcvg needs at least {MIN_SIDE} pixels a side, not {picture[0]}x{picture[1]}")
        return Canvas.of(picture, self.options.size)

    def _place(self) -> Place:
        from fcvg.place import place_of

        return place_of(self.options)

    def _checked(self) -> Checked:
        """The weights folder, looked through once.

        Raises:
            EngineError: it has problems.
        """
        from fcvg.weights.check import check_weights, require

        if self._checked_weights is None:
            checked = check_weights(self._folder, svd=self.options.svd)
            require(checked)
            self._checked_weights = checked
        return self._checked_weights

    def _afforded(self, canvas: Canvas, *, frames: int) -> Cost:
        """What a clip costs, if it may be made here."""
        from fcvg.cost import cost_of

        place = self._place()
        settings = self.options.sampling(seed=0)
        cost = cost_of(self._checked(), settings, size=canvas.size, frames=frames, place=place)
        if place.device.type == "cpu" and cost.seconds > LONG_S and not self.options.allow_cpu:
            raise EngineError(
                f"a clip of {frames} frames at {_size(canvas)} would take this machine's CPU about "
                f"{_hours(cost.seconds)} ({cost.flops / 1e12:.0f} TFLOP, by the speed of a matrix product here); "
                "--allow-cpu starts it all the same, a smaller --fcvg-size or fewer --steps take less"
            )
        free = place.free_bytes()
        needed = cost.bytes - (cost.resident_bytes if self._loader is not None and self._loader.loaded else 0)
        if free is not None and needed > free:
            raise CannotFill(
                f"{frames} frames at {_size(canvas)} need about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
                f"free on the {place.device.type}; a smaller --fcvg-size, batch=1 or offload=yes takes less"
            )
        return cost

    def _loading(self) -> Loader:
        from fcvg.loading import Loader

        if self._loader is None:
            self._loader = Loader(self.options, self._checked(), folder=self._folder, place=self._place())
        return self._loader

    def _made(
        self, request: FillRequest, left: Rgb, right: Rgb, *, canvas: Canvas, layout: ClipLayout, account: Account
    ) -> list[Rgb]:
        """The pictures asked for, in the film's size."""
        import torch

        from fcvg.color import ColorOffset
        from fcvg.pipeline import generate

        account.begin("load")
        loader = self._loading()
        models = loader.networks(canvas.size, frames=layout.frames, say=account.note)
        account.note(loader.ran_on(canvas.size, frames=layout.frames))
        account.begin("match lines")
        ends = canvas.put(left), canvas.put(right)
        conditions = self._conditions(ends, layout, account=account)
        settings = self.options.sampling(seed=zlib.crc32(f"{self.options.seed}:{request.seed}".encode()))
        start, end = (torch.from_numpy(rgb).permute(2, 0, 1).contiguous() for rgb in ends)
        account.begin("encode")
        frames = generate(
            models,
            settings,
            left=start,
            right=end,
            conditions=conditions,
            frames=layout.frames,
            cancelled=request.cancelled,
            progress=request.progress or _nobody,
            stage=lambda stage: account.begin(str(stage)),
        )
        kept = {0, layout.frames - 1, *layout.chosen}
        clip = {
            index: _checked_finite(frame.permute(1, 2, 0).numpy())
            for index, frame in enumerate(frames)
            if index in kept
        }
        account.begin("finish")
        offset = ColorOffset.measured(made=(clip[0], clip[layout.frames - 1]), known=ends)
        account.tell("frames of the clip", layout.frames)
        account.tell("colour offset", offset.largest if self.options.correct_color else 0.0)
        made = []
        for position, index in zip(request.positions, layout.chosen, strict=True):
            rgb = clip[index]
            if self.options.correct_color:
                rgb = offset.removed(rgb, position=float(position))
            made.append(canvas.take(rgb))
        return made

    def _conditions(self, ends: tuple[Rgb, Rgb], layout: ClipLayout, *, account: Account) -> torch.Tensor | None:
        """The condition pictures; None where they are turned off."""
        import torch

        from fcvg.conditions.choosing import conditioner_of, progress_of

        if self.options.control_weight == 0:
            return None
        if self._conditioner is None:
            self._conditioner = conditioner_of(self.options, folder=self._folder, device=self._place().device)
        left, right = (np.rint(rgb * 255).astype(np.uint8) for rgb in ends)
        conditions = self._conditioner(left, right, progress_of(self.options, layout))
        account.tell("lines matched", conditions.matched)
        for count in conditions.counts:
            account.tell(count.name, count.number)
        for note in conditions.notes:
            account.note(note)
        return torch.from_numpy(conditions.pictures)


def _size(canvas: Canvas) -> str:
    return f"{canvas.size[0]}x{canvas.size[1]}"


def _nobody(_share: float) -> None:
    pass


def _checked_finite(rgb: Rgb) -> Rgb:
    if not np.isfinite(rgb).all():
        raise CannotFill("the decoder gave numbers that are not finite: try precision=bf16 or precision=fp32")
    return rgb


def _is_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; the CPU's allocator has no class of its own for that."""
    import torch

    told = str(error).lower()
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in told or "out of memory" in told
    )


def _hours(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 36000 else f"{seconds / 3600:.0f} hours"
