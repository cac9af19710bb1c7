"""The install: which torch it takes, what it refuses, and that it says what to do."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import install

CUDA = ["filelock", 'nvidia-cublas-cu13==13.1; platform_system == "Linux"', "cuda-toolkit==13; platform_system == 'Linux'"]
PLAIN = ["filelock", "optree>=0.13; extra == 'optree'", "nvidia-thing; extra == 'gpu'"]


@pytest.mark.parametrize(
    ("requirements", "system", "wanted"),
    [
        (CUDA, "Linux", True),
        (CUDA[:2], "Linux", True),
        (CUDA[2:], "Linux", True),
        (CUDA, "Darwin", False),
        (PLAIN, "Linux", False),
    ],
)
def test_cuda_is_seen_in_the_requirements(requirements: list[str], system: str, wanted: bool) -> None:
    assert install.wants_cuda(requirements, system) is wanted


def test_an_old_python_is_told_which_to_name() -> None:
    with pytest.raises(install.InstallError, match=r"Python 3\.10 is too old: 3\.11 or newer.*make PYTHON=python3\.11"):
        install.check_python((3, 10), has_venv=True)


def test_a_python_without_venv_is_told_what_to_install() -> None:
    with pytest.raises(install.InstallError, match="apt install python3-venv"):
        install.check_python((3, 11), has_venv=False)


def test_torch_is_pinned_and_never_to_a_build() -> None:
    assert install.torch_pin(install.CONSTRAINTS.read_text()).startswith("torch==2.")
    assert "+" not in install.torch_pin(install.CONSTRAINTS.read_text())
    with pytest.raises(install.InstallError, match="does not pin torch"):
        install.torch_pin("torchvision==0.1\n")


Run = Callable[[dict[str, object]], list[list[str]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the torch step against a stand-in for pip that records its arguments; returns these."""

    def run(answers: dict[str, object]) -> list[list[str]]:
        (tmp_path / "answers.json").write_text(json.dumps(answers))
        pip = tmp_path / "pip.py"
        pip.write_text(
            "import json, pathlib, sys\n"
            f"here = pathlib.Path({str(tmp_path)!r})\n"
            "arguments = sys.argv[1:]\n"
            "(here / 'calls').open('a').write(json.dumps(arguments) + '\\n')\n"
            "answers = json.loads((here / 'answers.json').read_text())\n"
            "if '--report' in arguments:\n"
            "    sys.stderr.write('WARNING: not for anybody\\n')\n"
            "    print(json.dumps({'install': answers['offer']}))\n"
            "sys.exit(answers['cpu'] if '--index-url' in arguments else 0)\n"
        )
        monkeypatch.setattr(install, "_command", lambda python, arguments: [sys.executable, str(pip), *arguments])
        monkeypatch.setattr("platform.system", lambda: "Linux")
        install._install_torch(Path("python"))
        return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return run


def offer(requirements: list[str]) -> list[dict[str, object]]:
    return [{"metadata": {"name": "torch", "version": "2.13.0", "requires_dist": requirements}}]


def test_a_build_without_cuda_is_taken_as_offered(run: Run) -> None:
    _, taken = run({"offer": offer(PLAIN), "cpu": 1})
    assert "--index-url" not in taken
    assert any(argument.startswith("torch==") for argument in taken)


def test_instead_of_cuda_the_cpu_build_is_taken(run: Run) -> None:
    _, *taken = run({"offer": offer(CUDA), "cpu": 0})
    assert len(taken) == 1
    assert taken[0][taken[0].index("--index-url") + 1] == install.CPU_WHEELS
    assert taken[0][taken[0].index("--timeout") + 1] == str(install.CPU_SECONDS)


def test_where_only_pypi_can_be_reached_its_build_is_taken(run: Run) -> None:
    _, tried, taken = run({"offer": offer(CUDA), "cpu": 1})
    assert "--index-url" in tried
    assert "--index-url" not in taken


def test_an_installed_torch_is_left_alone(run: Run) -> None:
    assert len(run({"offer": [], "cpu": 0})) == 1


def test_a_failing_pip_is_heard(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no matching distribution\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(install.InstallError, match="no matching distribution"):
        install.pip(fake, "install", "nothing")


def test_the_script_runs_without_anything_installed(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, install.__file__], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
