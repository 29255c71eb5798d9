"""For all tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ganas", deadline=None)  # a busy machine is no failure
settings.load_profile("ganas")

# A shell that starts the tests in the background has them ignore Ctrl-C, and their child processes too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that no other test has put anything into."""
    monkeypatch.setenv("GANAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is read or written. Workers find the kinds of jobs that tests have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # nor does it listen to other machines
        kinds = str(Path(__file__).parent / "jobs")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (kinds, os.environ.get("PYTHONPATH")))))
        yield


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, in which modules lie as beside somebody's images; that none of them is run is seen to."""
    folder, run = tmp_path / "traps", tmp_path / "run by mistake"
    folder.mkdir()
    for name in ("random", "tempfile", "pickle", "socket", "filelock", "pydantic", "numpy", "PIL", "torch", "ganas"):
        (folder / f"{name}.py").write_text(f"open({str(run)!r}, 'a').write('{name} ')")
    monkeypatch.chdir(folder)
    yield folder
    assert not run.exists(), run.read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two megabytes, where this user may mount them."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)
