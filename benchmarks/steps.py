"""Steps to be timed: ours, a plain PyTorch writing of CycleGAN, and the public CycleGANAS code."""

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ganas.config import DataFacts
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import resolve
from ganas.cyclegan.cost import trial_loop
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.model import ImagePool
from ganas.growing.actions import proggan_route
from ganas.growing.plan import route_specs
from ganas.growing.trainer import CandidateTrainer
from ganas.learning.loop import Loop
from ganas.learning.timing import noise
from ganas.machine import this_machine
from ganas.presets import make_config
from ganas.store import Run

Step = Callable[[], object]


def our_loop(
    kind: str,
    layout: str,
    *,
    width: float,
    resolution: int,
    precision: str,
    batch: int = 1,
    discriminator_width: float = 64,
    settings: tuple[str, ...] = (),
) -> Loop:
    """The loop of `ganas search`, or of `ganas train` for a hand-made network, on the threads torch has now."""
    flags = {"data.a": "a", "data.b": "b", "data.resolution": resolution, "nets.layout": layout, "nets.width": width}
    flags |= {"nets.discriminator_width": discriminator_width, "training.batch": batch}
    flags |= {"training.precision": precision, "training.threads": torch.get_num_threads()}
    config = make_config(kind, preset="gpu", flags=flags, settings=settings)  # type: ignore[call-overload]
    config = resolve(config, this_machine(), DataFacts({}))
    architecture = None if kind == "search" else Architecture(layout)
    return trial_loop(config, find_layout(layout), architecture)


def ours(**options: Any) -> Step:
    """A step of ours; options as for `our_loop`."""
    loop = our_loop(**options)
    a, b = noise(2, loop.config.training.batch, loop.config.data.resolution)
    return lambda: loop.step(a, b)


# ── a plain PyTorch writing ──────────────────────────────────────────────────────────────────────────────────────────


class _Block(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same."""
        return x + self.layers(x)  # type: ignore[no-any-return]


def _generator(w: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), nn.InstanceNorm2d(w), nn.ReLU()]
    for c in (w, 2 * w):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU()]
    layers += [_Block(4 * w) for _ in range(9)]
    for c in (4 * w, 2 * w):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1), nn.InstanceNorm2d(c // 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh())


def _discriminator(w: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2)]
    for c, stride in ((w, 2), (2 * w, 2), (4 * w, 1)):
        layers += [nn.Conv2d(c, 2 * c, 4, stride, 1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * w, 1, 4, 1, 1))


def plain(resolution: int, precision: str, width: int = 64, discriminator_width: int = 64, batch: int = 1) -> Step:
    """CycleGAN as one writes it down: nine blocks, PatchGAN, two Adams, a pass for each term."""
    torch.manual_seed(0)
    generators = nn.ModuleList([_generator(width), _generator(width)])
    discriminators = nn.ModuleList([_discriminator(discriminator_width), _discriminator(discriminator_width)])
    ab, ba = generators
    judge_a, judge_b = discriminators
    adams = [torch.optim.Adam(nets.parameters(), lr=2e-4, betas=(0.5, 0.999)) for nets in (generators, discriminators)]
    pools = [ImagePool(50), ImagePool(50)]
    draws = torch.Generator().manual_seed(0)
    a, b = noise(2, batch, resolution)
    l1, mse = nn.L1Loss(), nn.MSELoss()

    def real(scores: Tensor) -> Tensor:
        return mse(scores, torch.ones_like(scores))

    def fake(scores: Tensor) -> Tensor:
        return mse(scores, torch.zeros_like(scores))

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")

    def step() -> None:
        discriminators.requires_grad_(False)
        with autocast():
            fake_b, fake_a = ab(a), ba(b)
            loss = real(judge_b(fake_b)) + real(judge_a(fake_a))
            loss = loss + 10 * (l1(ba(fake_b), a) + l1(ab(fake_a), b)) + 5 * (l1(ab(b), b) + l1(ba(a), a))
        adams[0].zero_grad()
        loss.backward()
        adams[0].step()
        discriminators.requires_grad_(True)
        with autocast():
            old_a, old_b = (pool.exchange(x.detach(), draws) for pool, x in zip(pools, (fake_a, fake_b), strict=True))
            loss = 0.5 * (real(judge_a(a)) + fake(judge_a(old_a)) + real(judge_b(b)) + fake(judge_b(old_b)))
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()

    return step


# ── the public code ──────────────────────────────────────────────────────────────────────────────────────────────────


def public(checkout: str, resolution: int, precision: str, width: int = 16) -> Step:
    """A search step of antaegun20/CycleGANAS out of a checkout of it, on the CPU."""
    sys.path.insert(0, str(Path(checkout).resolve()))
    from models.cycle_ganas_model import CycleGANASModel  # type: ignore[import-not-found]

    options = Namespace(
        **{"gpu_ids": [], "mode": "search", "isTrain": True, "checkpoints_dir": ".", "name": "x", "preprocess": "crop"},
        **{"input_nc": 3, "output_nc": 3, "netG_A_ngf": width, "netG_B_ngf": width, "ndf": 64, "netD": "basic"},
        **{"netG": "resnet_9blocks", "n_layers_D": 3, "norm": "instance", "init_type": "normal", "init_gain": 0.02},
        **{"no_dropout": True, "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5, "pool_size": 50},
        **{"gan_mode": "lsgan", "lr": 2e-4, "beta1": 0.5, "direction": "AtoB", "gumbel_softmax": True},
        **{"tau_max": 5.0, "tau_min": 0.1, "n_epochs": 100, "n_epochs_decay": 100, "bilevel_split": False},
    )
    torch.manual_seed(0)
    with redirect_stdout(sys.stderr):
        model: Any = CycleGANASModel(options)
    model.set_tau(0)
    a, b = noise(2, 1, resolution)
    model.set_input([{"A": a, "B": b, "A_paths": "", "B_paths": ""}])

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            model.optimize_parameters()

    return step


# ── growing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def grown(resolution: int, precision: str, channels: int = 512, batch: int = 16, latent: int = 512) -> Step:
    """A step of the ProgGAN route at its end, after its fade-in: discriminator, generator and average."""
    flags = {"data.images": "images", "data.resolution": resolution, "base.channels": [channels]}
    flags |= {"base.latent": latent, "training.batch": batch, "training.precision": precision}
    flags |= {"training.threads": torch.get_num_threads(), "training.device": "cpu", "growth.fade_images": 1}
    config = make_config("grow", preset="paper", flags=flags)
    *_, spec = route_specs(config, proggan_route(resolution))
    with TemporaryDirectory() as folder:
        candidate = CandidateTrainer(Run(Path(folder)), replace(spec, parent=None, action=None), config, None, None)
    (images,) = noise(1, batch, resolution)
    return lambda: candidate.loop.step(images)


def zoo(checkout: str, resolution: int, precision: str, channels: int = 512, batch: int = 16) -> Step:
    """A step of facebookresearch/pytorch_GAN_zoo's progressive GAN out of a checkout, two lines mended for torch."""
    root = Path(checkout).resolve()
    sys.path.insert(0, str(root))
    import models  # type: ignore[import-not-found]

    source = (root / "models" / "base_GAN.py").read_text()
    mended = source.replace(".add_(0.001, p.data)", ".add_(p.data, alpha=0.001)")
    module = ModuleType("models.base_GAN")
    module.__package__ = models.__name__
    sys.modules[module.__name__] = module
    exec(compile(mended, "base_GAN.py", "exec"), module.__dict__)
    from models.progressive_gan import ProgressiveGAN  # type: ignore[import-not-found]

    class Mended(ProgressiveGAN):  # type: ignore[misc]
        """Adam's betas as numbers of one kind."""

        def getOptimizerD(self) -> torch.optim.Adam:
            """The same Adam."""
            return torch.optim.Adam(self.netD.parameters(), betas=(0.0, 0.99), lr=self.config.learningRate)

        def getOptimizerG(self) -> torch.optim.Adam:
            """The same Adam."""
            return torch.optim.Adam(self.netG.parameters(), betas=(0.0, 0.99), lr=self.config.learningRate)

    torch.manual_seed(0)
    gan = Mended(
        dimLatentVector=512,
        depthScale0=channels,
        miniBatchStdDev=True,
        useGPU=False,
        baseLearningRate=1e-3,
        lossMode="WGANGP",
        lambdaGP=10.0,
        epsilonD=0.001,
    )
    side = 4
    while side < resolution:
        gan.addScale(channels)
        side *= 2
    (images,) = noise(1, batch, resolution)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            gan.optimizeParameters(images)

    return step
