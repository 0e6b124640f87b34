"""`ControlledUNet`: Stable Video Diffusion's UNet with the control added after its first down block."""

from __future__ import annotations

from functools import wraps
from typing import Any

from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from fcvg.nets.injection import inject


class ControlledUNet(UNetSpatioTemporalConditionModel):
    """diffusers' UNet; its configuration, its weights and their names are those of plain SVD.

    The control reaches the running sample only, not the skip connections, so it is added by a forward hook on the
    first down block, where it lies during a call. One module serves one call at a time. The hook stays in place: one
    that came and went would break a compiled graph in two.
    """

    # diffusers reads the names of a configuration from this signature, so it has to be the parent's.
    @wraps(UNetSpatioTemporalConditionModel.__init__)  # type: ignore[misc]
    def __init__(self, *values: Any, **settings: Any) -> None:
        super().__init__(*values, **settings)
        first = self.down_blocks[0]
        first.steering = None
        first.register_forward_hook(_steer)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        return_dict: bool = False,
        *,
        control: Tensor | None = None,
        control_scale: Tensor | None = None,
    ) -> Any:
        """Predicts v.

        Args:
            sample: (batch, frame, 8, h/8, w/8): the noisy latents, scaled to the network's input, and behind them on
                the channel axis the image latent.
            timestep: a number, as a tensor of no dimension: 0.25 ln sigma.
            encoder_hidden_states: (batch, 1, width): the image embedding; or, where the cross-attention was folded,
                what `fcvg.nets.folding` says.
            added_time_ids: (batch, 3): frames a second less one, motion bucket, noise added to the image.
            return_dict: True for diffusers' output class instead of a tuple.
            control: (batch * frame, channel, ceil(h/16), ceil(w/16)), from `injection.standardised`.
            control_scale: (batch,): the control weight of each row of the batch, 0 in an unconditional one.

        Returns:
            A tuple of one tensor, (batch, frame, 4, h/8, w/8).

        Raises:
            ValueError: control without a scale, or of another shape than the sample it is added to.
        """
        inputs = (sample, timestep, encoder_hidden_states, added_time_ids, return_dict)
        if control is None:
            return super().forward(*inputs)
        if control_scale is None:
            raise ValueError("control needs control_scale, one number for each row of the batch")
        scale = control_scale.to(control.dtype).repeat_interleave(sample.shape[1]).reshape(-1, 1, 1, 1)
        first = self.down_blocks[0]
        first.steering = (control, scale)
        try:
            return super().forward(*inputs)
        finally:
            first.steering = None


def _steer(module: nn.Module, _inputs: Any, output: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
    hidden, skips = output
    steering: Any = module.steering
    return output if steering is None else (inject(hidden, *steering), skips)
