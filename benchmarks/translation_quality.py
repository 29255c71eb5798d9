"""How much closer a trained translator brings one domain's test images to the other domain's training images.

    python benchmarks/translation_quality.py RUN --data monet2photo --features squeezenet:WEIGHTS [--native]

RUN is a run of `ganas train`; the data folder holds trainA, trainB, testA and testB. Every image is shrunk to the
run's resolution first (shorter side, centre), as in training; with --native the test images are translated as they
are, and nothing is shrunk. Prints one Markdown row per direction and metric: untranslated, translated, change.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ganas.cyclegan.layout import Direction, find_layout
from ganas.cyclegan.translate import Translator, find_generator, load_generator
from ganas.data.loaders import centre_images
from ganas.data.sources import ImageSource, open_source
from ganas.metrics.evaluate import Reference
from ganas.metrics.features import load_features

BATCH = 8  # images translated at once
DIRECTIONS: dict[Direction, tuple[str, str]] = {"ba": ("testB", "trainA"), "ab": ("testA", "trainB")}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--native", action="store_true")
    arguments = parser.parse_args()
    network = load_features(arguments.features)
    print("| direction | kept after | key | untranslated | translated | change |")
    print("|---|---|---|---|---|---|")
    for direction, (test, train) in DIRECTIONS.items():
        generator, info = load_generator(find_generator(arguments.run, direction))
        translator = Translator(generator, find_layout(info.layout).generator_multiple)
        sources = (open_source(arguments.data / name, verify=False) for name in (train, test))
        real, fake = (looked_at(source, None if arguments.native else info.resolution) for source in sources)
        reference = Reference(real, ["fid", "kid"], network)
        before = reference.measure(fake).scores
        after = reference.measure(torch.cat([translator(images) for images in fake.split(BATCH)])).scores
        for key in before:
            change = "" if "stderr" in key else f"{after[key] / before[key] - 1:+.0%}"
            print(f"| {direction} | {info.images} | `{key}` | {before[key]:.1f} | {after[key]:.1f} | {change} |")


def looked_at(source: ImageSource, resolution: int | None) -> Tensor:
    """uint8 [n, 3, r, r]; as they are where resolution is None, and then they have to be squares of one size."""
    return centre_images(source, resolution or min(source.read(0).size))


if __name__ == "__main__":
    main()
