"""One thread budget a process. Each test runs a process of its own, since the budget is fixed once it is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modelrt import Runtime, is_installed
from tests.modelrt.test_parity import SMALL


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=60
    )


def test_importing_loads_no_runtime() -> None:
    code = "import sys, modelrt; print([n for n in ('openvino', 'onnxruntime', 'torch') if n in sys.modules])"
    assert run(code).stdout.strip() == "[]"


def test_the_budget_is_the_usable_cores_until_it_is_set() -> None:
    code = (
        "from modelrt import *\n"
        "assert thread_budget() == usable_cores()\n"
        "set_thread_budget(3)\n"
        "assert thread_budget() == 3"
    )
    assert run(code).returncode == 0


def test_the_budget_can_not_change_under_an_open_session() -> None:
    chosen = next((runtime for runtime in (Runtime.OPENVINO, Runtime.ONNXRUNTIME) if is_installed(runtime)), None)
    if chosen is None:
        pytest.skip("neither the runtime openvino nor onnxruntime is installed")
    code = (
        "from pathlib import Path\n"
        "from modelrt import *\n"
        "set_thread_budget(1)\n"
        f"open_session(OnnxModel.from_file(Path({str(SMALL)!r})), runtime=Runtime({chosen.value!r}))\n"
        "set_thread_budget(1)\n"
        "set_thread_budget(2)"
    )
    assert "ThreadBudgetFixed: sessions already share 1 threads" in run(code).stderr.replace("modelrt.errors.", "")


@pytest.mark.parametrize("runtime", list(Runtime), ids=str)
def test_a_runtime_that_is_not_installed_is_named_with_how_to_install_it(runtime: Runtime) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{runtime.value!r}] = None\n"
        "from pathlib import Path\n"
        "from modelrt import *\n"
        f"open_session(OnnxModel.from_file(Path({str(SMALL)!r})), runtime=Runtime({runtime.value!r}))"
    )
    error = run(code).stderr
    assert "RuntimeNotInstalled" in error
    assert f"pip install {runtime.value}" in error


@pytest.mark.skipif(not is_installed(Runtime.OPENVINO), reason="the runtime openvino is not installed")
def test_sessions_may_be_opened_by_several_threads_at_once() -> None:
    code = (
        "import numpy as np\nfrom pathlib import Path\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from modelrt import *\n"
        f"model = OnnxModel.from_file(Path({str(SMALL)!r}))\n"
        "given = {'picture': np.zeros((1, 3, 6, 8), np.float32), 'places': np.zeros((1, 4, 4, 2), np.float32)}\n"
        "def opened(_):\n"
        "    with open_session(model, runtime=Runtime.OPENVINO) as session:\n"
        "        return session.run(given)['sampled'].shape\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    print(set(pool.map(opened, range(24))))\n"
    )
    assert run(code).stdout.strip() == "{(1, 4, 4, 4)}"
