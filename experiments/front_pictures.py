"""What milliseconds buy: every point of one front, side by side, on photographs that may be shown.

    python experiments/front_pictures.py RECIPE docs/front_points.png --seed 0

RECIPE is the folder of `ganas reproduce front` on a task of `ganas data task`. Four photographs of scikit-image are
reduced to squares of 128 pixels and damaged as the task does it; each column of the picture is a translator of the
harder direction, a searched (S), a distilled (D) or a hand-made one (C), fastest first, with its milliseconds and its
mean PSNR on these four.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from ganas.cyclegan.layout import DIRECTIONS
from ganas.cyclegan.translate import Translator, load_generator
from ganas.data.tasks import TASKS, find_task
from ganas.recipes.cyclegan.jobs import RecipeFolder, RecipeJob

SIDE = 128  # pixels
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def main() -> None:
    """Translate, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = RecipeFolder(arguments.recipe)
    jobs = [RecipeJob.read(folder.job(path.parent.name)) for path in sorted((folder.path / "jobs").glob("*/job.json"))]
    trained = [
        job for job in jobs if job.timed and job.seed == arguments.seed and folder.result(job) and job.drawn is None
    ]
    if not trained:
        raise SystemExit(f"{arguments.recipe} has no finished trainings of a front with seed {arguments.seed}")
    task = find_task(trained[0].dataset.part("trainA"))
    if task is None:
        raise SystemExit(f"{trained[0].dataset.folder} is not the folder of a task: give a recipe on one")
    direction = next(key for key in DIRECTIONS if key == task.harder)
    answers = [square(name) for name in PHOTOGRAPHS]
    damaged = [TASKS[task.task].apply(image, np.random.default_rng(0)) for image in answers]
    inputs, targets = (torch.stack([tensor(image) for image in images]) for images in (damaged, answers))
    columns = [("input", inputs)]
    found = []
    for job in trained:
        network, _ = load_generator(folder.run(job.id).generator(direction))
        made = Translator(network, multiple=4)(inputs)
        measured = json.loads(folder.scores(job.id).read_text())["milliseconds"]
        milliseconds = folder.read_times().get(job.id, measured)[direction]
        found.append((milliseconds, job.name, made))
    for milliseconds, name, made in sorted(found, key=lambda item: item[0]):
        columns.append((f"{name}\n{milliseconds:.1f} ms\n{psnr(made, targets):.1f} dB", made))
    draw([*columns, ("the answer", targets)], arguments.out)


def square(name: str) -> Image.Image:
    """A photograph of scikit-image, as `ganas data task` reduces it."""
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def tensor(image: Image.Image) -> Tensor:
    """As uint8 [3, h, w]."""
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def psnr(made: Tensor, answers: Tensor) -> float:
    """Mean over images, in decibels."""
    errors = (made.double() - answers.double()).square().mean((1, 2, 3))
    return float((10 * torch.log10(255**2 / errors)).mean())


def draw(columns: list[tuple[str, Tensor]], out: Path) -> None:
    """Write one column per translator."""
    rows = len(PHOTOGRAPHS)
    figure, axes = plt.subplots(rows, len(columns), figsize=(1.35 * len(columns), 1.35 * rows + 0.5), squeeze=False)
    for x, (title, images) in enumerate(columns):
        axes[0, x].set_title(title, fontsize=8)
        for y, image in enumerate(images):
            axes[y, x].imshow(image.permute(1, 2, 0).numpy())
            axes[y, x].set_axis_off()
    figure.subplots_adjust(0, 0, 1, 0.9, 0.02, 0.02)
    figure.savefig(out, dpi=70)


if __name__ == "__main__":
    main()
