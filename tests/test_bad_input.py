"""What users do: each mistake ends in one clear line on stderr and exit code 2, and costs nothing that was there."""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kill_and_resume import contents, differences, write_images
from tiny import FLAGS, GANAS, Capture, Words, ganas, write_domains

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains, a finished search and a finished training; tests that change one of them copy it first."""
    home = tmp_path_factory.mktemp("home")
    domains = write_domains(home)
    assert ganas("search", *domains, *FLAGS, "--out", home / "search") == 0
    assert ganas("train", home / "search", *domains, *FLAGS, "--out", home / "train") == 0
    return home


@pytest.fixture
def domains(home: Path) -> Words:
    return "--a", home / "a", "--b", home / "b"


@pytest.fixture
def refused(home: Path, tmp_path: Path, capsys: Capture) -> Refused:
    """Calls ganas, sees that it refuses in one line and leaves every file as it was, and returns the line."""
    capsys.readouterr()

    def call(*arguments: str | Path) -> str:
        before = contents(home), contents(tmp_path)
        code = ganas(*arguments)
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), err
        assert err.startswith("ganas: ") and err.count("\n") == 1 and err.endswith("\n")
        assert len(err) < 500 and "Traceback" not in err
        assert (contents(home), contents(tmp_path)) == before
        return err

    return call


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


BROKEN = {
    "empty file": b"",
    "not an image": b"Dear diary, today I named a text file .jpg",
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_image_is_named_with_its_reason(
    reason: str, home: Path, tmp_path: Path, refused: Refused, capsys: Capture
) -> None:
    folder = write_images(tmp_path / "images", 3, seed=2)
    (folder / "odd one.jpg").write_bytes(BROKEN[reason])
    said = f"images: 1 of 4 images cannot be read (odd one.jpg: {reason}); repair or remove them"
    assert said in refused("search", "--a", folder, "--b", home / "b", *FLAGS, "--out", tmp_path / "run")
    assert said in refused("translate", home / "train", folder, tmp_path / "out", "--direction", "ab")
    assert said in refused("evaluate", "--real", home / "a", "--fake", folder)
    assert ganas("data", "check", folder) == 0, "looking for broken files is no mistake"
    assert "odd one.jpg" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["link to nowhere", "pipe", "no permission"])
def test_an_unreadable_file_is_named(kind: str, home: Path, tmp_path: Path, refused: Refused) -> None:
    folder = write_images(tmp_path / "images", 3, seed=2)
    odd = folder / "odd.png"
    if kind == "link to nowhere":
        odd.symlink_to("nowhere.png")
    elif kind == "pipe":
        os.mkfifo(odd)
    elif os.geteuid() == 0:
        pytest.skip("root may read everything")
    else:
        shutil.copyfile(folder / "000.png", odd)
        odd.chmod(0)
    reasons = {"link to nowhere": "missing file", "pipe": "not a regular file", "no permission": "permission denied"}
    assert f"odd.png: {reasons[kind]}" in refused("evaluate", "--real", home / "a", "--fake", folder)
    odd.unlink()  # a pipe among the leftovers would make others wait


def test_a_path_without_images_is_named_with_the_reason(home: Path, tmp_path: Path, refused: Refused) -> None:
    """tests/test_wrong_paths.py gives such paths to every command."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "leads-out.zip", "w") as archive:
        archive.writestr("../../evil.png", (home / "a" / "000.png").read_bytes())
    reasons = {
        "missing": "missing: no such file or folder: check the path",
        "empty": "empty: no images in it; ganas reads .jpg .jpeg .png",
        "text.txt": "text.txt: neither a folder, a zip nor an image",
        "text.zip": "text.zip: cannot be read as a zip",
        "leads-out.zip": "refused, it contains a path outside itself (../../evil.png)",
    }
    for name, reason in reasons.items():
        assert reason in refused("data", "check", home / "a", tmp_path / name)


def test_a_single_image_is_no_domain(home: Path, tmp_path: Path, refused: Refused) -> None:
    alone = write_images(tmp_path / "alone", 1, seed=2)
    for single in (alone, alone / "000.png"):
        line = refused("search", "--a", single, "--b", home / "b", *FLAGS, "--out", tmp_path / "run")
        assert f"{single}: 1 usable image, 2 needed: add images" in line
        assert "2 needed" in refused("evaluate", "--real", single, "--fake", home / "b")


@pytest.mark.parametrize("strategy", ["th", "ths"])
def test_halves_are_as_large_as_domains_have_to_be(strategy: str, home: Path, tmp_path: Path, refused: Refused) -> None:
    few = write_images(tmp_path / "few", 3, seed=2)
    command = ("search", "--a", home / "b", "--b", few, *FLAGS, "--strategy", strategy, "--out", tmp_path / "run")
    line = refused(*command)
    assert f"B has 3 training images, and --strategy {strategy} halves them; 4 needed: add images" in line
    assert refused(*command, "--dry-run") == line


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--preset", "huge"], "unknown preset 'huge': choose one of tiny, small, gpu"),
        (["--layout", "unet"], "unknown layout 'unet': choose one of framed, paper, reference"),
        (["--layout", "resnet9"], "'resnet9'"),  # 16 pixels do not fit, and there is nothing to search
        (
            ["--layout", "resnet9", "--resolution", "32"],
            "layout 'resnet9' has nothing to search: choose one of fram",
        ),
        (
            ["--strategy", "annealing"],
            "search.strategy: input should be 'of', 'tf', 'th', 'ths' or 'sampled', got 'annealing'",
        ),
        (["--set", "search.budget_width=4"], "search.budget_width needs a budget: give search.budget and a limit"),
        (["--resolution", "0"], "data.resolution: input should be greater than or equal to 1, got 0"),
        (["--resolution", "100"], "resolution 100 does not fit layout 'framed': it takes multiples of 16"),
        (["--resolution", "8"], "try --resolution 16"),
        (["--resolution", "big"], "Invalid value for '--resolution'"),
        (["--seed", "-1"], "seed: input should be greater than or equal to 0, got -1"),
        (["--set", "training.speed=9"], "unknown key 'training.speed': training has batch, lr, betas"),
        (["--set", "speed=9"], "unknown key 'speed'"),
        (["--set", "seed.x=9"], "unknown key 'seed.x'"),
        (["--set", "training.batch"], "--set takes section.key=value, as in --set training.lr=1e-4; got 'training.bat"),
        (["--set", "training.batch=["], "training.batch: input should be a valid integer"),
        (["--set", "training.batch=two"], "training.batch: input should be a valid integer"),
        (["--set", "training.batch=0"], "training.batch: input should be greater than or equal to 1, got 0"),
        (["--set", "training.lr=nan"], "training.lr: input should be"),
        (["--set", "training.images=null"], "give either training.images or training.epochs"),
        (["--set", "training.device=gpu"], "training.device: there is no device 'gpu': choose auto, cpu, cuda or cud"),
        (["--set", "training.device=cuda:99"], "training.device: no 'cuda:99'"),
        (["--set", "nets.width=-4"], "nets.width: input should be greater than or equal to 1, got -4"),
        (["--set", "nets=wide"], "--set nets names a whole section: set its keys, as in nets.KEY=VALUE"),
        (["--set", "data.flip=perhaps"], "data.flip: input should be a valid boolean"),
        (["--set", "metrics.select=kid"], "metrics.select has no meaning for ganas search: leave it out"),
        (["--fast"], "No such option: --fast"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_is_refused_by_its_name(
    flags: list[str], said: str, domains: Words, tmp_path: Path, refused: Refused
) -> None:
    assert said in refused("search", *domains, *FLAGS, "--out", tmp_path / "run", *flags)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--repeats", "0"], "Invalid value for '--repeats'"),
        (
            ["--set", "metrics.select=best"],
            "metrics.select: input should be 'auto', 'fid', 'kid', 'mind', 'swd', 'psnr', ",
        ),
        (["--features", "vgg:x"], "vgg"),
        (["--features", "squeezenet:nowhere"], "nowhere"),
        (["--set", "training.inherit=nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_of_train_is_refused_by_its_name(
    flags: list[str], said: str, domains: Words, home: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ("train", home / "search", *domains, *FLAGS, "--out", tmp_path / "run")
    assert ganas(*command, *flags) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert ganas(*command) == 0, "nothing was learned under the wrong option, so the right one is welcome"


def test_weights_of_another_layout_are_not_inherited(
    home: Path, domains: Words, tmp_path: Path, refused: Refused
) -> None:
    """An architecture of another layout than the search whose supernet it is to begin with."""
    inherit = ("--set", f"training.inherit={home / 'search'}", "--out", tmp_path / "run")
    line = refused("train", "random:paper:1", *domains, *FLAGS, *inherit)
    assert "searched layout 'framed', but the architecture has layout 'paper'" in line


@pytest.mark.parametrize(
    "command, flags",
    [
        ("search", "--features squeezenet:nowhere"),
        ("train", "--features squeezenet:nowhere"),
        ("search", "--set metrics.split=test"),
        ("train", "--set metrics.split=test"),
        ("train", "--set training.inherit=nowhere"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    command: str, flags: str, domains: Words, home: Path, tmp_path: Path, refused: Refused
) -> None:
    architecture = (home / "search",) if command == "train" else ()
    arguments = (command, *architecture, *domains, *FLAGS, *flags.split(), "--out", tmp_path / "run")
    assert refused(*arguments) == refused(*arguments, "--dry-run")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "Usage"),
        (["serach"], "No such command 'serach'"),
        (["search"], "Missing option '--a'"),
        (["search", "--a"], "Option '--a' requires an argument"),
        (["data"], "Usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_is_refused_by_its_name(arguments: list[str], said: str, capsys: Capture) -> None:
    code = ganas(*arguments)
    out, err = capsys.readouterr()
    if said == "Usage":
        assert said in out + err
        return
    assert code == 2 and err.startswith(f"ganas: {said}") and err.endswith("; see --help\n") and err.count("\n") == 1


@pytest.mark.parametrize(
    "metrics, said",
    [
        ("fréchet", "unknown metric 'fréchet': choose from fid, kid, mind, pr, is, swd, psnr, "),
        ("fid,fréchet", "unknown metric 'fréchet': choose from fid, kid, mind, pr, is, swd, psnr, "),
        (",swd", "unknown metric ''"),
        ("fid", "fid needs a feature network: give --features"),
    ],
)
def test_an_unknown_metric_is_named(metrics: str, said: str, home: Path, refused: Refused) -> None:
    assert said in refused("evaluate", "--real", home / "a", "--fake", home / "b", "--metrics", metrics)


# ── architectures ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_place_without_architecture_is_named(home: Path, domains: Words, tmp_path: Path, refused: Refused) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(home / "search", begun)
    (begun / "architecture.json").unlink()
    image = tmp_path / "image.json"
    shutil.copyfile(home / "a" / "000.png", image)
    cases = {
        "resnet8": "there is no architecture 'resnet8': give an architecture.json, a search run, random:SEED, ",
        str(home / "a"): "holds no architecture.json; it is not a run",
        str(begun): "its search is not finished: run the same ganas search again",
        str(image): "it is not text",
    }
    for place, said in cases.items():
        assert said in refused("train", place, *domains, *FLAGS, "--out", tmp_path / "run")


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def searched(home: Path, tmp_path: Path) -> Path:
    """A copy of the finished search, to be damaged."""
    return Path(shutil.copytree(home / "search", tmp_path / "searched"))


def test_another_config_is_refused_with_the_difference(
    home: Path, domains: Words, searched: Path, tmp_path: Path, refused: Refused
) -> None:
    begin = ("search", *domains, *FLAGS, "--out", searched)
    said = "is a run of another config (seed: 0 → 5): give the same options to resume it, or choose another --out"
    assert said in refused(*begin, "--seed", "5")
    shorter = "(training.images: 4 → 2, and a run can be extended, but not shortened)"
    assert shorter in refused(*begin, "--set", "training.images=2")
    assert "(training.evaluate_every: 400 → 2)" in refused(*begin, "--set", "training.evaluate_every=2")
    assert "more)" in refused(*begin, "--preset", "small", "--layout", "paper", "--seed", "3")
    assert "is a run of ganas search: choose another --out" in refused(
        "train", searched, *domains, *FLAGS, "--out", searched
    )
    other = write_images(tmp_path / "other", 3, seed=7)
    assert f"data.a: {home}/a → {other}" in refused("search", "--a", other, *domains[2:], *FLAGS, "--out", searched)


def test_images_that_changed_are_said_to_have_changed(home: Path, tmp_path: Path, refused: Refused) -> None:
    domains = write_domains(tmp_path)
    run = shutil.copytree(home / "search", tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(home), str(tmp_path)))
    begin = ("search", *domains, *FLAGS, "--out", run)
    end = f"have changed since '{run}' was started: restore them, or choose another --out\n"
    write_images(tmp_path / "a", 1, seed=9)
    assert refused(*begin) == f"ganas: the images of data.a ('{tmp_path}/a') {end}"
    write_images(tmp_path / "b", 1, seed=9)
    both = f"the images of data.a ('{tmp_path}/a') and the images of data.b ('{tmp_path}/b')"
    assert refused(*begin) == f"ganas: {both} {end}"
    assert "(seed: 0 → 5)" in refused(*begin, "--seed", "5"), "what was told comes first"


def test_a_run_that_keeps_no_checkpoint_is_not_made_longer(domains: Words, searched: Path, refused: Refused) -> None:
    shutil.rmtree(searched / "checkpoints")
    line = refused("search", *domains, *FLAGS, "--out", searched, "--set", "training.images=8")
    assert "(training.images: 4 → 8, and it has no checkpoint left to resume from)" in line


@pytest.mark.parametrize("text", ["", "data: [", "schema: 1\n", "schema: 9\n", "seed: 0\n"])
def test_a_damaged_config_is_named(text: str, domains: Words, searched: Path, refused: Refused) -> None:
    (searched / "config.yaml").write_text(text)
    assert f"{searched}/config.yaml" in refused("search", *domains, *FLAGS, "--out", searched)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize("place", ["/proc/ganas", "/dev/null/ganas"])
def test_a_place_that_cannot_be_written_is_named(place: str, home: Path, domains: Words, refused: Refused) -> None:
    assert place in refused("search", *domains, *FLAGS, "--out", place)
    assert place in refused("translate", home / "train", home / "a", place, "--direction", "ab")
    assert place in refused("demo", "--out", place)


# ── translation ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_translate_takes_one_of_two_directions(home: Path, tmp_path: Path, refused: Refused) -> None:
    line = refused("translate", home / "train", home / "a", tmp_path / "out", "--direction", "a2b")
    assert "unknown direction 'a2b': choose ab (A to B) or ba (B to A)" in line


# ── a full disk, and true processes ──────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(
    home: Path, domains: Words, small_disk: Path, capsys: Capture
) -> None:
    begin = ("search", *domains, *FLAGS, "--out", small_disk / "run")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (1 << 20))
    capsys.readouterr()
    assert ganas(*begin) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert last.startswith(f"ganas: No space left on device '{small_disk}/run/") and not out
    assert last.endswith("free some disk space and run the same command again; no checkpoint had been written yet")
    assert not [name for name in contents(small_disk) if name.endswith(".partial")], (
        "half a file would fill it for good"
    )
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert ganas(*begin) == 0
    assert not differences(small_disk / "run", home / "search")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["data", "check", "nowhere"], "ganas: nowhere: no such file or folder: check the path\n"),
        (["translate", "nowhere", "a", "b", "--direction", "ab"], "ganas: there is no run 'nowhere': give the folder"),
    ],
    ids=["data check", "translate"],
)
def test_the_command_itself_says_one_line_and_ends_with_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run([GANAS, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert not contents(tmp_path)
