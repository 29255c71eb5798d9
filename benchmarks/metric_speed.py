"""FID and KID beside torch-fidelity: the same images, the same Inception, seconds in one run.

    python benchmarks/metric_speed.py --real DIR --fake DIR [--images 500] [--threads 2] [--rounds 5]

Weights are random, which costs as much as any others. Each round runs, in turn: torch-fidelity without its cache, ganas
without its cache, ganas with the real statistics in its cache, and ganas's network over the fakes alone; medians are
printed with their ratios. torch-fidelity resizes the legacy way, so ganas does it too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from ganas.data.sources import ImageSource, open_source
from ganas.metrics.cache import Cache
from ganas.metrics.features import extract, load_features
from ganas.metrics.reference import Reference


def random_inception(path: Path) -> None:
    """Weights in torch-fidelity's own form."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *arguments: object) -> None:
            """Its constructor insists on a file; this one's weights stay random."""

    empty = path.with_name("empty.pth")
    torch.save({}, empty)
    network = Untrained("untrained", ["2048"], feature_extractor_weights_path=str(empty))
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)


def copied(source: ImageSource, count: int, folder: Path) -> Path:
    """The first images as PNG files of one size, as torch-fidelity wants them."""
    folder.mkdir()
    for number in range(min(count, len(source))):
        source.read(number).resize((256, 256)).save(folder / f"{number:06}.png")
    return folder


def seconds(work: Callable[[], object]) -> float:
    """On the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Parse, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--fake", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from torch_fidelity import calculate_metrics

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        weights = home / "inception.pth"
        random_inception(weights)
        real, fake = (
            copied(open_source(place), arguments.images, home / kind)
            for kind, place in (("real", arguments.real), ("fake", arguments.fake))
        )
        size = min(len(list(folder.iterdir())) for folder in (real, fake))

        def peer() -> None:
            calculate_metrics(
                input1=str(fake), input2=str(real), cuda=False, cache=False, verbose=False, fid=True, kid=True,
                kid_subset_size=size, kid_subsets=1, feature_extractor_weights_path=str(weights), batch_size=32,
            )  # fmt: skip

        def ours(cache: Cache | None) -> None:
            network = load_features(f"inception-legacy:{weights}")  # the peer loads it each time, too
            Reference(open_source(real), ["fid", "kid"], network, cache=cache).measure(open_source(fake))

        cache = Cache(home / "cache")
        ours(cache)  # fills it
        ways: dict[str, Callable[[], object]] = {
            "torch-fidelity": peer,
            "ganas": lambda: ours(None),
            "ganas, real side cached": lambda: ours(cache),
            "fake side alone": lambda: extract(load_features(f"inception-legacy:{weights}"), open_source(fake)),
        }
        took: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, work in ways.items():
                took[way].append(seconds(work))
    base = median(took["torch-fidelity"])
    print("| way | seconds, median | of torch-fidelity |\n|---|---|---|")
    for way, all_of_them in took.items():
        print(f"| {way} | {median(all_of_them):.2f} | {median(all_of_them) / base:.2f} |")


if __name__ == "__main__":
    main()
