"""`ganas demo`: a search, a training, a translation and its measurement, on photographs that are already installed."""

from pathlib import Path
from typing import Literal

import torch

from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.presets import make_config
from ganas.cyclegan.search import search
from ganas.cyclegan.train import train
from ganas.cyclegan.translate import translate
from ganas.data.demo import DemoData, write_demo_data
from ganas.data.loaders import center_crops
from ganas.data.sources import open_source
from ganas.metrics.evaluate import evaluate_folders
from ganas.paths import StrPath, as_path, visible
from ganas.pictures import png, tile
from ganas.progress import Reporter
from ganas.store import results_folder, write_atomically

SHOWN = 8  # photographs in the final picture
RESOLUTION = 96  # pixels a side of the photographs in it


def run_demo(out: StrPath) -> str:
    """Run the whole story under `out`; the same call again resumes it. Returns the path of the picture to look at."""
    folder = as_path(out)
    with results_folder(folder, new=False):
        return _run(folder, Reporter())


def _run(out: Path, reporter: Reporter) -> str:
    data = write_demo_data(out / "data")
    reporter.say(data.story)
    reporter.say("1/4 searching two generators and two discriminators …")
    found = search(_config("search", data), out / "search")
    reporter.say(f"    {found.architecture}")
    reporter.say(f"    {found.verdict}")
    reporter.say("2/4 training what was found, at twice the width …")
    trained = train(_config("train", data), found.architecture, out / "train")
    for line in trained.lines():
        reporter.say(f"    {line}")
    reporter.say("3/4 translating photographs that were held out …")
    translated = out / "translated"
    if not translated.is_dir() or not visible(translated):
        translate(out / "train", data.test_a, translated, direction="ab")
    reporter.say("4/4 measuring: how far from domain B, before and after …")
    for name, folder in (("before", data.test_a), ("after", translated)):
        (measurement,) = evaluate_folders(data.test_b, [folder], metrics=["swd"], features=None)
        for key, value in measurement.scores.items():
            reporter.say(f"    {name:7} {key} {value:.4f}")
    picture = out / "demo.png"
    write_atomically(picture, png(_picture(data.test_a, translated)))
    return f"{picture}: photographs above, their translations below"


def _config(kind: Literal["search", "train"], data: DemoData) -> RunConfig:
    return make_config(kind, preset="tiny", flags={"data.a": data.a, "data.b": data.b})


def _picture(before: Path, after: Path) -> torch.Tensor:
    originals, translations = open_source(before), open_source(after)
    count = min(SHOWN, len(originals))
    step = len(originals) // count
    chosen = range(0, step * count, step)
    return tile(tuple(center_crops(source.subset(chosen), RESOLUTION) for source in (originals, translations)))
