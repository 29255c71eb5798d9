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
from ganas.data.demo import CROP_SIZE, DemoData, write_demo_data
from ganas.data.loaders import center_crops
from ganas.data.sources import open_source
from ganas.evaluation import evaluate_run
from ganas.learning.timing import noise, step_seconds
from ganas.machine import this_machine
from ganas.paths import StrPath, as_path, visible
from ganas.pictures import png, tile
from ganas.presets import make_config
from ganas.progress import Reporter, readable_seconds
from ganas.report.page import write_report
from ganas.store import Run, results_folder, write_atomically

Kind = Literal["search", "train"]

PICTURE_COLUMNS = 8  # photographs in the final picture
ENLARGED = 2  # times
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
    plan = _Plan(out, data, start, reporter)
    reporter.say("1/4 searching two generators and two discriminators …")
    found = search(plan.config("search", "train"), out / "search")
    reporter.say(f"    {found.architecture}")
    reporter.say(f"    {found.verdict}")
    reporter.say("2/4 training the result at twice the width …")
    trained = train(plan.config("train"), found.architecture, out / "train")
    for line in trained.lines():
        reporter.say(f"    {line}")
    reporter.say("3/4 translating held-out photographs from dark to light …")
    translated = out / "translated"
    if not translated.is_dir() or not visible(translated):
        translate(out / "train", data.test_a, translated, direction="ab")
    reporter.say("4/4 comparing them with the same photographs in good light, which no network has seen …")
    judged = evaluate_run(out / "train", paired=out / "data", metrics=["psnr"])["ab"]
    for name, measured in (("before", judged.untranslated), ("after", judged.translated)):
        (value,) = measured.scores.values()
        reporter.say(f"    {name:7} {value:.1f} dB (peak signal-to-noise ratio: higher is closer)")
    picture = out / "demo.png"
    write_atomically(picture, png(_picture(data.test_a, translated, data.test_b)))
    pages = [write_report(out / name, out / f"{name}.html") for name in ("search", "train")]
    reporter.say(f"{' and '.join(map(str, pages))}: what was found, and how it went; open them in a browser")
    return f"{picture}: dark photographs, their translations, and below them the same photographs in good light"


class _Plan:
    """Fits search and training to the time that is left, each when it begins; a resumed one keeps its length."""

    def __init__(self, out: Path, data: DemoData, start: float, reporter: Reporter) -> None:
        self._out, self._data, self._end, self._reporter = out, data, start + TARGET_SECONDS, reporter

    def config(self, kind: Kind, *later: Kind) -> RunConfig:
        """The config of a run that leaves time for the kinds of runs that come later."""
        full, stored = _config(kind, self._data, 1.0), Run(self._out / kind).config
        if stored.is_file():
            length = load_config(RunConfig, stored.read_bytes(), str(stored)).total_images / full.total_images
            return _config(kind, self._data, length)
        here = _estimate_seconds(full)
        others = sum(_estimate_seconds(_config(other, self._data, 1.0)) for other in later)
        left = self._end - OVERHEAD_SECONDS - time.monotonic()
        length = round(min(1.0, max(MIN_LENGTH, left / (here + others))), 2)  # whole batches: a resume finds the same
        self._reporter.say(
            f"    measured: a full {kind} would take {readable_seconds(here)} here; it is cut to {length:.0%}"
            f"{', the least that shows anything' if length == MIN_LENGTH else ''}: the demo takes about "
            f"{readable_seconds(TARGET_SECONDS - left + length * (here + others))}"
            if length < 1
            else f"    measured: a full {kind} takes about {readable_seconds(here)} here"
        )
        return _config(kind, self._data, length)


def _estimate_seconds(config: RunConfig) -> float:
    """Estimate the seconds of all steps from a few of them, with alphas learning."""
    layout = find_layout(config.nets.layout)
    resolved = resolve(config, this_machine(), DataFacts({}))
    architecture = None if resolved.search else find_architecture(f"random:{layout.name}:0")
    loop = trial_loop(resolved, layout, architecture)
    loop.nimg = resolved.total_images // 2  # after search.warmup
    batch = resolved.training.batch
    images = noise(2, batch, resolved.data.resolution)
    return step_seconds(loop, images, warm_up=3, steps=5) * resolved.total_images / batch


def _config(kind: Kind, data: DemoData, length: float) -> RunConfig:
    """Return the config of preset tiny with `length` times its images."""
    # weights at which a training this short leaves no specks
    flags = {"data.a": data.a, "data.b": data.b, "loss.cycle": 30.0, "loss.identity_ab": 15.0, "loss.identity_ba": 15.0}
    config = make_config(kind, preset="tiny", flags=flags)
    batch = config.training.batch
    return config.with_values({"training.images": max(1, round(length * config.total_images / batch)) * batch})


def _picture(*folders: Path) -> torch.Tensor:
    """One row of photographs a folder, the same ones in each."""
    sources = [open_source(folder) for folder in folders]
    count = min(PICTURE_COLUMNS, len(sources[0]))
    step = len(sources[0]) // count
    shown = range(0, step * count, step)
    picture = tile(tuple(center_crops(source.subset(shown), CROP_SIZE) for source in sources))
    return picture.repeat_interleave(ENLARGED, 1).repeat_interleave(ENLARGED, 2)
