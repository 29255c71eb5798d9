"""What the ops of a supernet can do of what it does: the basis of a choice that does not rest on alphas.

In a slot before instance norm, alphas are not identifiable: adding h to the alpha of an op and dividing its kernel and
bias by exp(h) multiplies the mixture by a constant, which the norm removes. So any op may lead in the same function.

A projection is the same in all these readings: the mixture of a slot is replaced by the nearest thing that one op can
represent. A convolution keeps the mixture's taps in its support, average pooling and nearest-neighbor interpolation
keep their mean; max pooling and bilinear interpolation, which are no convolutions, keep their own 1×1. An op counts by
how much the loss rises. Supports are nested, so that the largest kernel always loses least: a choice takes a limit on
cost (`ganas.cyclegan.derive`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import SlotModule, slot_modules
from ganas.cyclegan.config import LossConfig
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS, find_layout
from ganas.cyclegan.merging import SharedConvolution, forms_of, mergeable
from ganas.cyclegan.mixed import MixedOp, use_mean_weights
from ganas.cyclegan.model import CycleGAN, Fakes, discriminator_loss, generator_loss
from ganas.cyclegan.ops import BOX_FILTERS, OPS, POOLS
from ganas.learning.losses import at_least_float32

BATCH = 8  # images of a domain at once
TINY = 1e-30

Losses = dict[str, list[list[float]]]  # by network: of each searched slot, of each of its ops


class ProjectedOp(nn.Module):
    """The nearest thing to a mixture, with its present weights, that one of its ops can represent."""

    def __init__(self, mixed: MixedOp, op: str) -> None:
        super().__init__()
        forms = forms_of(mixed.ops.items())
        shares = dict(zip(mixed.ops, mixed.weights.detach().unbind(), strict=True))
        family = next(names for names in mergeable(forms) if op in names)
        members = [forms[name] for name in family]
        scaled = [
            shares[n] if form.scale is None else shares[n] * form.scale for n, form in zip(family, members, strict=True)
        ]
        together = SharedConvolution(family, members)
        taps = together.part(together.kernel(scaled, members), op)
        if OPS[op].resampling in BOX_FILTERS:
            taps = taps.mean((2, 3), keepdim=True).expand_as(taps)
        self.name, self.taps = op, taps  # [c_out, c_in, k, k]; [c_in, c_out, k, k] if transposed
        self.bias = torch.stack([share * forms[name].bias for name, share in shares.items()]).sum(0)  # of all ops
        self._convolution = SharedConvolution([op], [forms[op]])

    def forward(self, x: Tensor) -> Tensor:
        return self._convolution(x, self.taps, self.bias)

    def weights(self) -> dict[str, Tensor]:
        """The parameters, by name, of the module that `ganas.cyclegan.build.build_op` builds for the op."""
        resampling = OPS[self.name].resampling
        if resampling is None:
            return {"weight": self.taps, "bias": self.bias}
        kernel = self.taps[:, :, :1, :1] / BOX_FILTERS.get(resampling, 1.0)
        transposed = resampling in BOX_FILTERS and resampling not in POOLS
        return {"1.weight": kernel.transpose(0, 1) if transposed else kernel, "1.bias": self.bias}


@torch.no_grad()
def projection_losses(gan: CycleGAN, a: Tensor, b: Tensor, config: LossConfig) -> Losses:
    """How much the loss rises if a slot's mixture is replaced by each of its ops, one slot at a time.

    The generators' loss for their slots, at the present discriminators; the discriminators' for theirs, on the present
    generators' images. a and b are images [n, 3, h, w], as many of both.
    """
    with _mean_supernets(gan):
        batches = [*zip(torch.split(a, BATCH), torch.split(b, BATCH), strict=True)]
        fakes = [generator_loss(gan, *batch, config)[1] for batch in batches]
        losses: Losses = {}
        for names, loss in ((GENERATORS, _generators), (DISCRIMINATORS, _discriminators)):
            usual = loss(gan, batches, fakes, config)
            for name in names:
                losses[name] = [
                    [loss(gan, batches, fakes, config) - usual for _ in _replacements(slot)]
                    for slot in _searched(gan.network(name))
                ]
        return losses


def _generators(
    gan: CycleGAN, batches: Sequence[tuple[Tensor, Tensor]], fakes: Sequence[Fakes], config: LossConfig
) -> float:
    terms = [(len(a), sum(term.item() for term in generator_loss(gan, a, b, config)[0].values())) for a, b in batches]
    return _mean(terms)


def _discriminators(
    gan: CycleGAN, batches: Sequence[tuple[Tensor, Tensor]], fakes: Sequence[Fakes], config: LossConfig
) -> float:
    terms = [
        (len(a), sum(term.item() for term in discriminator_loss(gan, a, b, fake, config).values()))
        for (a, b), fake in zip(batches, fakes, strict=True)
    ]
    return _mean(terms)


def _mean(terms: Sequence[tuple[int, float]]) -> float:
    return sum(count * term for count, term in terms) / sum(count for count, _ in terms)


def _searched(network: nn.Module) -> Iterator[SlotModule]:
    return (slot for slot in network.modules() if isinstance(slot, SlotModule) and isinstance(slot.op, MixedOp))


def _replacements(slot: SlotModule) -> Iterator[str]:
    """Yield each op of a slot while the slot holds its projection."""
    mixed = slot.op
    assert isinstance(mixed, MixedOp)
    try:
        for op in mixed.ops:
            slot.op = ProjectedOp(mixed, op)
            yield op
    finally:
        slot.op = mixed


@contextmanager
def _mean_supernets(gan: CycleGAN) -> Iterator[None]:
    """Mix by the softmax of the alphas, without a power iteration of spectral norms."""
    training = gan.training
    gan.eval()
    for name in NETWORKS:
        use_mean_weights(gan.network(name))
    try:
        yield
    finally:
        gan.train(training)


@torch.no_grad()
def projected_weights(gan: CycleGAN, architecture: Architecture) -> dict[str, Tensor]:
    """The weights of the projections of an architecture's ops, by name; none of slots with spectral norm.

    `ganas.cyclegan.model.inherit_weights` prefers them to the weights of the ops.
    """
    found: dict[str, Tensor] = {}
    with _mean_supernets(gan):
        for network in NETWORKS:
            named = slot_modules(find_layout(architecture.layout).network(network), architecture.ops(network))
            for (path, op), slot in zip(named, _searched(gan.network(network)), strict=True):
                assert isinstance(slot.op, MixedOp)
                if not slot.spectral:
                    weights = ProjectedOp(slot.op, op).weights()
                    found |= {f"{network}.{path}.projected.{op}.{name}": tensor for name, tensor in weights.items()}
    return found


@torch.no_grad()
def output_shares(gan: CycleGAN, a: Tensor, b: Tensor) -> Losses:
    """Each op's share of the variance of its slot's output: that of weight times op over the sum of all of these.

    Of the variance over pixels, averaged over channels and images. a and b are images [n, 3, h, w]; discriminators see
    real ones.
    """
    shares: Losses = {}
    with _mean_supernets(gan):
        for name, images in zip(NETWORKS, (a, b, a, b), strict=True):
            found: list[list[float]] = []

            def record(mixed: MixedOp, inputs: tuple[Tensor], output: Tensor, into: list[list[float]] = found) -> None:
                weighted = (weight * op(*inputs) for weight, op in zip(mixed.weights, mixed.ops.values(), strict=True))
                variances = torch.stack([at_least_float32(one).var((2, 3), correction=0).mean() for one in weighted])
                into.append((variances / variances.sum().clamp(min=TINY)).tolist())  # of one pixel: all 0

            hooks = [slot.op.register_forward_hook(record) for slot in _searched(gan.network(name))]
            try:
                gan.network(name)(images)
            finally:
                for hook in hooks:
                    hook.remove()
            shares[name] = found
    return shares
