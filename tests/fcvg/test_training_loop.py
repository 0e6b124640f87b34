"""The loop over a stage's steps: which examples it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the fcvg extra is not installed")
pytest.importorskip("diffusers", reason="the fcvg extra is not installed")

from fcvg.training.journal import Journal
from fcvg.training.loop import train_stage
from fcvg.training.options import TrainOptions
from fcvg.training.sizes import Size, StageName


class Counting:
    """A stage with one parameter, that notes down what it is asked for."""

    def __init__(self, name: StageName) -> None:
        self.name = name
        self.parameters = {"w": torch.nn.Parameter(torch.ones(1))}
        self.read: list[int] = []
        self.learned: list[int] = []

    def example(self, number: int) -> int:
        self.read.append(number)
        return number

    def measured(self, number: int) -> int:
        return -1

    def loss(self, examples: Sequence[int], *, learns: bool) -> torch.Tensor:
        self.learned += examples if learns else []
        return (self.parameters["w"] ** 2).sum()

    def finish(self, folder: Path, *, trained: str) -> None:
        """Writes nothing."""


@pytest.mark.parametrize(("name", "a_batch"), [(StageName.VAE, 1), (StageName.BASE, 2)], ids=str)
def test_what_is_read_ahead_is_learned_from(tmp_path: Path, name: StageName, a_batch: int) -> None:
    stage, steps = Counting(name), 4
    options = TrainOptions(size=Size.TINY, vae_steps=steps, base_steps=steps, batch=2, workers=1, measured=1)
    with Journal(tmp_path / "journal.jsonl") as journal:
        train_stage(stage, options, folder=tmp_path, journal=journal, fixed={}, state=None, tell=lambda _line: None)

    assert stage.learned == list(range(steps * a_batch))
    assert set(stage.read) - set(stage.learned) <= set(range(steps * a_batch, steps * a_batch + 2))
