"""Whether every metric notices what a person would: blur, noise, JPEG compression, missing classes.

    python experiments/metric_sensitivity.py cifar10.zip --features squeezenet:WEIGHTS --plot docs/sensitivity.png

The images are split at random into two halves: one is real, the other is damaged more and more. The data has a folder
per class; for mode dropping the fakes come from fewer and fewer classes, as many images at each level. Prints one
Markdown row per damage, level and metric, and draws one panel per key.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ganas.data.images import Images
from ganas.data.sources import ImageSource, open_source
from ganas.metrics.features import load_features
from ganas.metrics.measurement import metric_of
from ganas.metrics.reference import Reference, possible_metrics

Damage = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def blur(image: Image.Image, radius: float, _: np.random.Generator) -> Image.Image:
    """Gaussian, radius in pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius)) if radius else image


def noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Image.Image:
    """Gaussian, deviation in grey levels."""
    pixels = np.asarray(image) + deviation * generator.standard_normal((*image.size[::-1], 3))
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def jpeg(image: Image.Image, loss: float, _: np.random.Generator) -> Image.Image:
    """Quality 100 - loss; nothing at 0."""
    if not loss:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=round(100 - loss))
    return Image.open(buffer).convert("RGB")


DAMAGES: dict[str, tuple[Damage, Sequence[float], str]] = {
    "blur": (blur, (0, 0.5, 1, 1.5), "radius, pixels"),
    "noise": (noise, (0, 8, 16, 32), "deviation, grey levels"),
    "jpeg": (jpeg, (0, 50, 75, 90), "100 - quality"),
}
DROPPED = (0, 2, 5, 8)  # classes of ten


class Damaged(Images):
    """Images of a source, each damaged alike whenever it is read."""

    def __init__(self, source: Images, damage: Damage, level: float) -> None:
        self._source, self._damage, self._level = source, damage, level

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int, /) -> Image.Image:
        """Image ``index`` as PIL RGB."""
        return self._damage(self._source.read(index), self._level, np.random.default_rng(index))


def cases(source: ImageSource, count: int) -> Iterator[tuple[str, float, Images, Images]]:
    """(damage, level, real, fake) of `count` images a side."""
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    half = len(order) // 2
    if count > half:
        raise SystemExit(f"{len(order)} images make no two halves of {count}: give a smaller --count")
    real, rest = source.subset(order[:count]), order[half:]
    fake = source.subset(rest[:count])
    for name, (damage, levels, _) in DAMAGES.items():
        for level in levels:
            yield name, level, real, Damaged(fake, damage, level)
    classes = sorted({str(Path(name).parent) for name in source.names})
    for dropped in DROPPED:
        left = classes[dropped:]
        kept = [index for index in rest if str(Path(source.names[index]).parent) in left]
        if len(kept) < count:
            raise SystemExit(f"{len(kept)} images without {dropped} classes: give a smaller --count")
        yield "modes", dropped, real, source.subset(kept[:count])


def main() -> None:
    """Parse, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--features", required=True)
    parser.add_argument("--count", type=int, default=400, help="images a side; as many must be in the classes left")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    network = load_features(arguments.features)
    metrics = possible_metrics(network)
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    print("| damage | level | key | score |\n|---|---|---|---|")
    for damage, level, real, fake in cases(open_source(arguments.data), arguments.count):
        for key, score in Reference(real, metrics, network).measure(fake).scores.items():
            if metric_of(key) in ("kid_stderr", "is_std"):
                continue
            print(f"| {damage} | {level:g} | `{key}` | {score:.4g} |", flush=True)
            found.setdefault(key, {}).setdefault(damage, []).append((level, score))
    if arguments.plot:
        draw(found, arguments.plot)


def draw(found: dict[str, dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """One panel a key: protocols never share an axis."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(3.2 * len(found), 3), constrained_layout=True)
    for panel, (key, damages) in zip(np.atleast_1d(panels), found.items(), strict=True):
        for damage, points in damages.items():
            panel.plot(range(len(points)), [score for _, score in points], marker="o", label=damage)
        panel.set_title(key, fontsize=9)
        panel.set_xticks(range(4), ["none", "some", "more", "most"])
    figure.axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
