"""A WGAN-GP step of the ProgGAN route at its last resolution, beside pytorch_GAN_zoo's in float32.

python benchmarks/grow_step_vs_zoo.py --checkout pytorch_GAN_zoo [--resolution 32] [--channels 512] [--rounds 7]
"""

from contest import Contender, arguments, contest, machine, print_table, row
from steps import grown, zoo


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, checkout="pytorch_GAN_zoo", resolution=32, channels=512, batch=16)
    common = {"resolution": given.resolution, "channels": given.channels, "batch": given.batch}
    contenders = {
        "float32": Contender(grown, common | {"precision": "float32"}),
        "bf16": Contender(grown, common | {"precision": "bf16"}),
        "zoo": Contender(zoo, common | {"precision": "float32", "checkout": given.checkout}),
    }
    seconds = contest(contenders, given.rounds, given.threads)
    rows = [(precision, *row(seconds, precision, "zoo")) for precision in ("float32", "bf16")]
    print_table(("ours in", "ours, s", "pytorch_GAN_zoo in float32, s", "ratio"), rows)
    print(f"\n{given.resolution}², {given.channels} channels, batch {given.batch}; {machine(given.threads)}")


if __name__ == "__main__":
    main()
