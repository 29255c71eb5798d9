"""`ganas demo`: a search, a training, a translation and its measurement, on photographs that are already installed.

A few steps are measured first, and the lengths of search and training chosen so that all of it takes four minutes.
"""

import time
from pathlib import Path
from typing import Literal

import torch

from ganas.config import DataFacts, load_config
from ganas.cyclegan.architecture import find_architecture
from ganas.cyclegan.config import RunConfig, resolve
from ganas.cyclegan.cost import trial_loop
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.presets import make_config
from ganas.cyclegan.search import search
from ganas.cyclegan.strategies import STRATEGIES, joint_phases
from ganas.cyclegan.train import train
from ganas.cyclegan.translate import translate
from ganas.data.demo import DemoData, write_demo_data
from ganas.data.loaders import center_crops
from ganas.data.sources import open_source
from ganas.learning.timing import noise, step_seconds
from ganas.machine import this_machine
from ganas.metrics.evaluate import evaluate_folders
from ganas.paths import StrPath, as_path, visible
from ganas.pictures import png, tile
from ganas.progress import Reporter, readable_seconds
from ganas.store import Run, results_folder, write_atomically

SHOWN = 8  # photographs in the final picture
RESOLUTION = 96  # pixels a side of the photographs in it
SECONDS = 240.0  # that all of it should take
REST = 20.0  # of these beside steps: images to look at, checkpoints, translating, measuring
SHORTEST = 0.3  # of the full lengths: shorter trainings leave photographs nearly as they were


def run_demo(out: StrPath) -> str:
    """Run the whole story under `out`; the same call again resumes it. Returns the path of the picture to look at."""
    folder = as_path(out)
    with results_folder(folder, new=False):
        return _run(folder, Reporter())


def _run(out: Path, reporter: Reporter) -> str:
    began = time.monotonic()
    data = write_demo_data(out / "data")
    reporter.say(data.story)
    length = _length(out, data, began, reporter)
    reporter.say("1/4 searching two generators and two discriminators …")
    found = search(_config("search", data, length), out / "search")
    reporter.say(f"    {found.architecture}")
    reporter.say(f"    {found.verdict}")
    reporter.say("2/4 training what was found, at twice the width …")
    trained = train(_config("train", data, length), found.architecture, out / "train")
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


def _length(out: Path, data: DemoData, began: float, reporter: Reporter) -> float:
    """The share of the full lengths that fits this machine; of a demo that goes on, the one it was begun with."""
    whole = _config("search", data, 1.0)
    stored = Run(out / "search").config
    if stored.is_file():
        return load_config(RunConfig, stored.read_bytes(), str(stored)).total_images / _images(whole)
    searching, training = _seconds(whole), _seconds(_config("train", data, 1.0))
    full = searching + training
    left = SECONDS - REST - (time.monotonic() - began)
    length = min(1.0, max(SHORTEST, left / full))
    reporter.say(
        f"measured: a full search would take {readable_seconds(searching)} here, and a full training "
        f"{readable_seconds(training)}; they are cut to {length:.0%}, so that all takes about "
        f"{readable_seconds(SECONDS - left + length * full)}"
    )
    return length


def _seconds(config: RunConfig) -> float:
    """Estimate the time of all training steps from a few of them, with alphas learning."""
    layout = find_layout(config.nets.layout)
    resolved = resolve(config, this_machine(), DataFacts({}))
    search, batch = resolved.search, resolved.training.batch
    architecture = None if search else find_architecture(f"random:{layout.name}:0")
    loop = trial_loop(resolved, layout, architecture, STRATEGIES[search.strategy].phases if search else joint_phases)
    loop.nimg = resolved.total_images // 2  # after search.warmup
    images = noise(2, batch, resolved.data.resolution)
    return step_seconds(loop, images, warm_up=1, steps=3) * resolved.total_images / batch


def _config(kind: Literal["search", "train"], data: DemoData, length: float) -> RunConfig:
    """Of preset tiny, `length` times as long."""
    config = make_config(kind, preset="tiny", flags={"data.a": data.a, "data.b": data.b})
    batch = config.training.batch
    images = max(1, round(length * _images(config) / batch)) * batch
    return config.model_copy(update={"training": config.training.model_copy(update={"images": images})})


def _images(config: RunConfig) -> int:
    assert config.training.images is not None, "the preset's"
    return config.training.images


def _picture(before: Path, after: Path) -> torch.Tensor:
    originals, translations = open_source(before), open_source(after)
    count = min(SHOWN, len(originals))
    step = len(originals) // count
    chosen = range(0, step * count, step)
    return tile(tuple(center_crops(source.subset(chosen), RESOLUTION) for source in (originals, translations)))
