"""`python -m fcvg.train VIDEOS OUT`: trains FCVG. See `fcvg.training`."""

from __future__ import annotations

from fcvg.training.command import main

if __name__ == "__main__":
    main(prog_name="python -m fcvg.train")
