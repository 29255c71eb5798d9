"""`ganas demo`: search, train, translate and evaluate on photographs from an installed package.

A few steps are timed first, and search and training are shortened so that the demo takes about four minutes.
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
from ganas.cyclegan.search import search
from ganas.cyclegan.train import train
from ganas.cyclegan.translate import translate
from ganas.data.demo import DemoData, write_demo_data
from ganas.data.loaders import center_crops
from ganas.data.sources import open_source
from ganas.evaluation import evaluate
from ganas.learning.timing import noise, step_seconds
from ganas.machine import this_machine
from ganas.paths import StrPath, as_path, visible
from ganas.pictures import png, tile
from ganas.presets import make_config
from ganas.progress import Reporter, readable_seconds
from ganas.report.page import write_report
from ganas.store import Run, results_folder, write_atomically

PICTURE_COLUMNS = 8  # photographs in the final picture
PICTURE_RESOLUTION = 96  # pixels
TARGET_SECONDS = 240.0  # of the whole demo
OVERHEAD_SECONDS = 20.0  # of these, for all but training steps: samples, checkpoints, translation, scores
MIN_LENGTH = 0.3  # share of the full lengths: after shorter trainings the translations hardly differ


def run_demo(out: StrPath) -> str:
    """Run the demo under `out`, or resume it; returns a line with the path of the final picture."""
    folder = as_path(out)
    with results_folder(folder, new=False):
        return _run(folder, Reporter())


def _run(out: Path, reporter: Reporter) -> str:
    start = time.monotonic()
    data = write_demo_data(out / "data")
    reporter.say(data.story)
    length = _length(out, data, start, reporter)
    reporter.say("1/4 searching two generators and two discriminators …")
    found = search(_config("search", data, length), out / "search")
    reporter.say(f"    {found.architecture}")
    reporter.say(f"    {found.verdict}")
    reporter.say("2/4 training the result at twice the width …")
    trained = train(_config("train", data, length), found.architecture, out / "train")
    for line in trained.lines():
        reporter.say(f"    {line}")
    reporter.say("3/4 translating held-out photographs …")
    translated = out / "translated"
    if not translated.is_dir() or not visible(translated):
        translate(out / "train", data.test_a, translated, direction="ab")
    reporter.say("4/4 measuring the distance to domain B, before and after …")
    for name, folder in (("before", data.test_a), ("after", translated)):
        for key, value in evaluate(data.test_b, folder, metrics=["swd"]).scores.items():
            reporter.say(f"    {name:7} {key} {value:.4f}")
    picture = out / "demo.png"
    write_atomically(picture, png(_picture(data.test_a, translated)))
    pages = [write_report(out / name, out / f"{name}.html") for name in ("search", "train")]
    reporter.say(f"{' and '.join(map(str, pages))}: what was found, and how it went; open them in a browser")
    return f"{picture}: photographs above, their translations below"


def _length(out: Path, data: DemoData, start: float, reporter: Reporter) -> float:
    """Return the share of the full lengths that fits this machine; a resumed demo keeps its own."""
    full_search, full_training = _config("search", data, 1.0), _config("train", data, 1.0)
    stored = Run(out / "search").config
    if stored.is_file():
        return load_config(RunConfig, stored.read_bytes(), str(stored)).total_images / full_search.total_images
    searching, training = _estimate_seconds(full_search), _estimate_seconds(full_training)
    full = searching + training
    left = TARGET_SECONDS - OVERHEAD_SECONDS - (time.monotonic() - start)
    length = round(min(1.0, max(MIN_LENGTH, left / full)), 2)  # whole batches, so that a resume finds the same
    reporter.say(
        f"measured: a full search would take {readable_seconds(searching)} here, and a full training "
        f"{readable_seconds(training)}; they are cut to {length:.0%}, so that the demo takes about "
        f"{readable_seconds(TARGET_SECONDS - left + length * full)}"
    )
    return length


def _estimate_seconds(config: RunConfig) -> float:
    """Estimate the seconds of all steps from a few of them, with alphas learning."""
    layout = find_layout(config.nets.layout)
    resolved = resolve(config, this_machine(), DataFacts({}))
    architecture = None if resolved.search else find_architecture(f"random:{layout.name}:0")
    loop = trial_loop(resolved, layout, architecture)
    loop.nimg = resolved.total_images // 2  # after search.warmup
    batch = resolved.training.batch
    images = noise(2, batch, resolved.data.resolution)
    return step_seconds(loop, images, warm_up=1, steps=3) * resolved.total_images / batch


def _config(kind: Literal["search", "train"], data: DemoData, length: float) -> RunConfig:
    """Return the config of preset tiny with `length` times its images."""
    config = make_config(kind, preset="tiny", flags={"data.a": data.a, "data.b": data.b})
    batch = config.training.batch
    return config.with_values({"training.images": max(1, round(length * config.total_images / batch)) * batch})


def _picture(before: Path, after: Path) -> torch.Tensor:
    originals, translations = open_source(before), open_source(after)
    count = min(PICTURE_COLUMNS, len(originals))
    step = len(originals) // count
    shown = range(0, step * count, step)
    return tile(tuple(center_crops(source.subset(shown), PICTURE_RESOLUTION) for source in (originals, translations)))
