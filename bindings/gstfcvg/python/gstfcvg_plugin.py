"""What GStreamer's Python loader reads: it registers the element, and says where its packages are.

The loader runs in the system's Python, which knows nothing of the environment that this package was installed into:
`GSTFCVG_SITE` names that one's site-packages (`python -m gstfcvg` prints it), by default the directory that holds this
package. It must belong to the same version of Python.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

_PACKAGES = os.environ.get("GSTFCVG_SITE") or str(Path(__file__).parents[2])


def _see(folder: str) -> None:
    """Lets a site-packages directory, and what its .pth files name, go before the system's own packages."""
    before = list(sys.path)
    site.addsitedir(folder)
    added = [path for path in sys.path if path not in before]
    place = min((before.index(path) for path in site.getsitepackages() if path in before), default=len(before))
    sys.path[:] = [*before[:place], *added, *before[place:]]


# The loader keeps a bare pointer to this list while it goes from directory to directory. A package that puts another in
# its place when it is imported (OpenCV's does) would have the loader write into freed memory.
_PATH = sys.path
_see(_PACKAGES)

from gi.repository import Gst  # noqa: E402  # the loader has chosen its version already

from gstfcvg.element import Fcvg  # noqa: E402

if sys.path is not _PATH:
    _PATH[:] = sys.path
    sys.path = _PATH

__gstelementfactory__ = ("fcvg", Gst.Rank.NONE, Fcvg)
