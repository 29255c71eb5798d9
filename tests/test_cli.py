"""The command line as a contract: commands, flags, streams, exit codes, and how fast it answers."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ganas.cli.boundary import run
from ganas.cli.options import app
from ganas.data.tasks import TASKS
from ganas.doctor import Finding
from ganas.errors import GanasError, Stopped, UserError
from ganas.recipes.reproduce import ALL
from kill_and_resume import write_images
from tiny import FLAGS, GANAS, Capture, ganas, write_domains

# Scripts rely on these: a change here is a change in CHANGELOG.md.
CONTRACT = {
    "demo": ["--out"],
    "search": [
        *("--a", "--b", "--out", "--layout", "--strategy"),
        *("--budget-params", "--budget-macs", "--budget-ms", "--budget-width", "--features", "--paired"),
        *("--teacher", "--repeats", "--preset", "--resolution", "--seed", "--set", "--dry-run"),
    ],
    "train": [
        *("ARCH|RUN|resnet9|random:SEED", "--a", "--b", "--out"),
        *("--width", "--match-size", "--match-each", "--point", "--budget-ms", "--repeats", "--features", "--paired"),
        *("--teacher", "--preset", "--resolution", "--seed", "--set", "--dry-run"),
    ],
    "grow": [
        *("--data", "--out", "--route", "--workers", "--executor", "--address", "--gpu-share", "--features"),
        *("--preset", "--resolution", "--seed", "--set", "--dry-run"),
    ],
    "sample": ["RUN", "OUTPUT", "-n", "--seed", "--grid", "--candidate"],
    "runs": ["RUN", "--json", "--analyse", "--plot"],
    "translate": ["RUN", "INPUT", "OUTPUT", "--direction", "--skip-bad", "--white", "--no-icc"],
    "evaluate": [
        *("[RUN]", "--a", "--b", "--paired", "--real", "--fake", "--metrics", "--features", "--images"),
        *("--resolution", "--bootstrap", "--skip-bad", "--white", "--no-icc", "--no-cache", "--json"),
    ],
    "compare": ["RUN...", "--against", "--a", "--b", "--paired", "--metrics", "--features", "--no-cache", "--json"],
    "report": ["RUN", "--out"],
    "watch": ["RUN", "--port"],
    "doctor": ["--json"],
    "reproduce": [
        *("|".join(ALL), "--out", "--scale", "--data"),
        *("--workers", "--executor", "--address", "--gpu-share", "--features", "--seed", "--set", "--dry-run"),
    ],
    "data task": ["|".join(TASKS), "PHOTOS", "--size", "--out", "--pairs", "--seed", "--skip-bad", "--json"],
    "data check": ["DATA...", "--white", "--no-icc", "--json"],
}


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by what is typed for it."""
    found = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


COMMANDS = commands(typer.main.get_command(app))


def test_commands_and_flags_are_what_they_were() -> None:
    assert {name: [_shown(parameter) for parameter in command.params] for name, command in COMMANDS.items()} == CONTRACT


def _shown(parameter: Any) -> str:
    return str(parameter.metavar) if parameter.param_type_name == "argument" else str(parameter.opts[0])


@pytest.mark.parametrize("name", CONTRACT)
def test_a_command_explains_itself_in_few_flags(name: str, capsys: Capture) -> None:
    assert ganas(*name.split(), "--help") == 0
    out, err = capsys.readouterr()
    assert "Usage:" in out and not err
    options = [parameter for parameter in COMMANDS[name].params if parameter.param_type_name == "option"]
    assert len(options) <= 20
    assert all(option.help and option.opts[0] in out for option in options)
    assert all(option.metavar for option in options if not option.is_flag), "a value's metavar says what it is"


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([GANAS, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1.0, f"half a second on an idle machine; got {seconds}"


def test_help_imports_no_torch() -> None:
    check = (
        "import sys; from ganas.cli import app, run\n"
        f"for name in {['', *CONTRACT]}: run(lambda: app([*name.split(), '--help'], standalone_mode=False))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage:") == len(CONTRACT) + 1


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_is_one_object_on_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    a, b = (write_images(tmp_path / name, 4, seed=seed) for seed, name in enumerate("ab"))
    expected = {
        ("evaluate", "--real", a, "--fake", b): {"scores", "protocol"},
        ("data", "check", a, b): {"sources"},
        ("doctor",): {"device", "threads", "bf16", "speed", "libraries", "free disk"},
    }
    for arguments, keys in expected.items():
        assert ganas(*arguments, "--json") == 0
        out = capsys.readouterr().out
        document = json.loads(out)
        assert isinstance(document, dict) and set(document) >= keys
        assert out == json.dumps(document) + "\n", "nothing before it, nothing after it, one line"
        if arguments == ("doctor",):  # its speed was measured once, which takes seconds
            monkeypatch.setattr("ganas.doctor._speed", lambda: Finding("speed", "", ""))
        assert ganas(*arguments) == 0
        assert not capsys.readouterr().out.startswith("{"), "for people it is text"


def test_results_go_to_stdout_and_progress_to_stderr(tmp_path: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path)
    assert ganas("search", *domains, *FLAGS, "--out", tmp_path / "run") == 0
    out, err = capsys.readouterr()
    assert "A→B" in out and "framed:" in out and "weighs at least twice" in out
    assert out.splitlines()[-1] == (
        f"next: ganas train {tmp_path}/run --a {tmp_path}/a --b {tmp_path}/b --out {tmp_path}/run-train "
        "--preset tiny --resolution 16 --set training.threads=1 --set nets.discriminator=searched"
    )
    assert "images" in err and "framed:" not in err
    assert "\x1b" not in out + err, "no escape codes where nobody looks"


def test_dry_run_prints_config_and_cost_and_does_nothing(tmp_path: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path)
    for arguments in (("search",), ("train", "resnet9", "--width", "3")):
        resolution = () if "search" in arguments else ("--resolution", "32")
        assert ganas(*arguments, *domains, *FLAGS, *resolution, "--out", tmp_path / "run", "--dry-run") == 0
        out = capsys.readouterr().out
        config, _, cost = out.partition("\n\n")
        document = yaml.safe_load(config)
        assert document["kind"] == arguments[0] and document["training"]["images"] == 4
        assert document["data"]["digest_a"], "the config is resolved"
        for word in ("generator_ab", "discriminator_b", "GMACs", " MB", "one step", "measured", "4 pairs"):
            assert word in cost
        sizes = dict(re.findall(r"(\w+) .*?([\d,]+) parameters", cost))
        ab, ba, both = (int(sizes[name].replace(",", "")) for name in ("generator_ab", "generator_ba", "generators"))
        assert ab + ba == both and "discriminator_a" in sizes
        assert not (tmp_path / "run").exists()
    assert document["nets"]["width"] == 2, "--set is stronger than --width"


# ── exit codes ───────────────────────────────────────────────────────────────────────────────────────────────────────


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


class BackendCompilerFailed(RuntimeError):
    """As torch's is called."""


@pytest.mark.parametrize(
    "error, code, line",
    [
        (UserError("no such\nthing"), 2, "ganas: no such thing\n"),
        (GanasError("lost a number"), 1, "ganas: lost a number\n"),
        (Stopped("stopped"), 130, "ganas: stopped\n"),
        (KeyboardInterrupt(), 130, "ganas: interrupted\n"),
        (OSError(28, "No space left", "run/x"), 2, "ganas: No space left 'run/x': free some disk space"),
        (OSError(17, "File exists", "x"), 2, "ganas: File exists 'x': a file is in the way; choose another path"),
        (OutOfMemoryError("CUDA"), 2, "ganas: out of memory: use a smaller training.batch"),
        (BackendCompilerFailed("no g++\n\nx"), 2, "ganas: torch.compile failed (no g++): leave training.compile out"),
        (MemoryError(), 2, "ganas: out of memory: use a smaller training.batch"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exceptions_become_one_line_and_a_code(error: BaseException, code: int, line: str, capsys: Capture) -> None:
    def command() -> None:
        raise error

    assert run(command) == code
    out, err = capsys.readouterr()
    assert err.startswith(line) and err.count("\n") == 1 and not out


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    def command() -> None:
        raise AssertionError("ours")

    with pytest.raises(AssertionError):
        run(command)


def test_a_reader_that_leaves_early_is_no_error() -> None:
    check = (
        "from ganas.cli import run; import sys; sys.exit(run(lambda: [print('x' * 100) for _ in range(10**4)] and 0))"
    )
    process = subprocess.Popen([sys.executable, "-c", check], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 141
