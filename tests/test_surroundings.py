"""What is around ganas: terminals of any encoding, names that are no text, no home folder, Ctrl-C at any moment."""

import io
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from ganas import progress
from ganas.cli.boundary import main
from ganas.cyclegan.layout import LAYOUTS
from ganas.cyclegan.translate import GeneratorInfo, build_generator, save_generator
from kill_and_resume import write_images
from tiny import FLAGS, GANAS, Capture, Words, ganas, write_domains

posix = pytest.mark.skipif(sys.platform != "linux", reason="names and users as Linux has them")

OPS = tuple(slot.ops[0] for slot in LAYOUTS["framed"].generator.searched)

GROW = (
    *("--preset", "tiny", "--resolution", "16", "--set", "growth.depth=1", "--set", "growth.keep=1"),
    *("--set", "growth.rank_by=raw", "--set", "growth.sizes=[3]", "--set", "growth.filters=[4]"),
    *("--set", "base.channels=[4]", "--set", "base.latent=4", "--set", "training.batch=2"),
    *("--set", "training.images=4", "--set", "training.final_images=0", "--set", "metrics.images=4"),
)


def run_with(encoding: str, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> tuple[int, str, str]:
    """The command line as a process of this encoding would have it: exit code, stdout, stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["ganas", *map(str, arguments)])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = main()
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
    return code, out, err


@posix
def test_output_never_raises_whatever_it_is_about_and_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9 \x1b[31mred\n\xc3\xa9")
    domains = write_domains(place, 4, 4)
    for folder in (place / "a", place / "b"):
        (folder / "000.png").rename(folder / os.fsdecode(b"\xff\x07 \xe2\x82\xac.png"))
    commands: list[Words] = [
        ("search", *domains, *FLAGS, "--out", place / "search"),
        ("train", place / "search", *domains, *FLAGS, "--out", place / "train"),
        ("translate", place / "train", place / "a", place / "out", "--direction", "ab"),
        ("evaluate", "--real", place / "a", "--fake", place / "out", "--fake", place / "b"),
        ("evaluate", place / "train", *domains),
        ("data", "check", place / "a", place / "b"),
        ("grow", "--data", place / "a", "--out", place / "grow", *GROW),
        ("runs", place / "grow"),
        ("sample", place / "grow", place / "x.png", "-n", "2"),
    ]
    for number, command in enumerate(commands):
        encoding = ("ascii", "latin-1", "cp1252", "utf-8")[number % 4]
        code, out, err = run_with(encoding, monkeypatch, *command)
        assert code == 0, err
        said = out.partition("next: ")[0] + err
        assert all(line.isprintable() for line in said.split("\n")), "control characters are shown, not obeyed"
    for encoding in ("ascii", "utf-8"):
        code, out, err = run_with(encoding, monkeypatch, "data", "check", place / "nowhere")
        assert (code, out) == (2, "") and err.count("\n") == 1 and r"\udce9 \x1b[31mred\n" in err
    code, out, _ = run_with("ascii", monkeypatch, "data", "check", place / "a", "--json")
    assert code == 0 and out.isascii() and out.count("\n") == 1


ODD = (  # names that people, cameras and other systems give
    *(b"a b", b" a", b"a ", b"-a", b"--help", b"#a", b"a#b", b"a'b", b'a"b', b"a\\b", b"a\nb", b"a\tb", b"a%20b"),
    *(b"$a", b"a*b", b"[a]", b"{a}", b"~a", b"a;b", b"a&b", b"a=b", b"a.b.c", b"2026-11-28", b"no", b"1e5"),
    *("žluťoučký".encode(), "日本語".encode(), b"caf\xe9"),
)


@posix
@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_odd_names_keep_their_names_in_every_locale(locale: dict[str, str], tmp_path: Path) -> None:
    info = GeneratorInfo("generator_ab", "framed", OPS, width=1.0, resolution=16, images=4, architecture="0123456789")
    save_generator(tmp_path / "g.safetensors", build_generator(info), info)
    photos = write_images(tmp_path / "photos", 1, seed=0)
    content = (photos / "000.png").read_bytes()
    (photos / "000.png").unlink()
    for name in ODD:
        (photos / os.fsdecode(name + b".png")).write_bytes(content)
    command = [GANAS, "translate", tmp_path / "g.safetensors", photos, tmp_path / "out", "--direction", "ab"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"LC_ALL": ""} | locale)
    assert done.returncode == 0 and done.stdout.startswith(b"28 images in "), done.stderr
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == sorted(name + b".png" for name in ODD)


@posix
def test_what_is_reported_and_logged_is_printable(tmp_path: Path, capsys: Capture) -> None:
    for quiet in (False, True):
        progress.Reporter(tmp_path / "log.txt", quiet=quiet).say("red \x1b[31m, no text \udce9, two\nlines, é")
    assert capsys.readouterr().err == "red \\x1b[31m, no text \\udce9, two\\nlines, é\n"
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").count(
        r" red \x1b[31m, no text \udce9, two\nlines, é"
    ) == 2


@pytest.mark.slow
def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", GANAS, "train", "resnet6", *write_domains(tmp_path), *FLAGS, "--out"]
    done = subprocess.run([*command, tmp_path / "run", "--resolution", "24"], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@posix
@pytest.mark.slow
def test_without_a_home_nothing_is_kept_and_all_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def nobody(*_: object) -> NoReturn:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME", "GANAS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    progress.warn_once.cache_clear()
    domains = write_domains(tmp_path)
    assert ganas("search", *domains, *FLAGS, "--out", tmp_path / "search") == 0
    assert ganas("train", tmp_path / "search", *domains, *FLAGS, "--out", tmp_path / "train") == 0
    assert ganas("evaluate", tmp_path / "train", *domains) == 0
    assert ganas("grow", "--data", tmp_path / "a", "--out", tmp_path / "grow", *GROW, "--dry-run") == 0
    err = capsys.readouterr().err
    assert err.count("no home folder, so nothing is cached for later runs: set GANAS_CACHE") == 1
    assert ganas("evaluate", "--real", tmp_path / "a", "--fake", tmp_path / "b", "--features", "squeezenet:~/x") == 2
    assert "'~/x': there is no home folder: give an absolute path" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("moment", [0.1, 0.5, 0.9])
def test_ctrl_c_ends_it_while_libraries_load(tmp_path: Path, moment: float) -> None:
    """At moments of an idle machine's start; a library may swallow what is raised while it is imported."""
    command = [GANAS, "translate", tmp_path, tmp_path, tmp_path / "out", "--direction", "ab"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) in ((130, "ganas: interrupted\n"), (-signal.SIGINT, "")), "or Python had not begun"


SWALLOW = """
import signal, sys, types
from ganas.__main__ import _interrupt
signal.signal(signal.SIGINT, _interrupt)
try:
    import swallows
except BaseException:
    pass
print("went on")
"""


def test_an_import_cannot_swallow_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", SWALLOW], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ganas: interrupted\n")


def test_an_empty_value_is_refused_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(write_images(tmp_path / "here", 3, seed=0))
    for option, arguments in {
        "an argument": ("translate", "run", "", "out", "--direction", "ab"),
        "the value after --a": ("search", "--a", "", "--b", ".", "--out", "run"),
        "--out": ("grow", "--data", ".", "--out="),
        "the value after --fake": ("evaluate", "--real", ".", "--fake", ""),
        "the value after --features": ("evaluate", "--real", ".", "--fake", ".", "--features", ""),
    }.items():
        assert ganas(*arguments) == 2
        assert f"ganas: {option} is empty (an unset variable?): give a value" in capsys.readouterr().err
    assert ganas("evaluate", "--real", ".", "--fake", ".", "--features", "squeezenet:") == 2
    assert "the path in 'squeezenet:' is empty: give squeezenet:PATH" in capsys.readouterr().err
    assert {path.suffix for path in Path().iterdir()} == {".png"}
