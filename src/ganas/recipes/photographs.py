"""The built-in photographs as the default data of recipes. No torch here."""

import shutil
import tempfile
from pathlib import Path

from ganas.data.demo import write_demo_data
from ganas.data.names import PARTS


def write_photographs(out: Path) -> Path:
    """Write trainA, trainB, testA and testB to ``out/demo``, unless they are there; return that folder."""
    folder = out / "demo"
    if not folder.exists():
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as temporary:
            data = write_demo_data(Path(temporary) / "photographs")
            for part, source in zip(PARTS, (data.a, data.b, data.test_a, data.test_b), strict=True):
                shutil.copytree(source, Path(temporary) / "demo" / part)
            (Path(temporary) / "demo").rename(folder)
    return folder
