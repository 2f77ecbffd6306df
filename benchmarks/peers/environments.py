"""An environment for each tool, made from the requirements at the head of its runner (inline metadata, PEP 723)."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

READY = "requirements.ready"
_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The reference expression of PEP 723."""


def requirements(runner: Path) -> list[str]:
    """What the runner needs; empty for one that runs in the project's own environment."""
    match = _BLOCK.search(runner.read_text(encoding="utf-8"))
    if match is None:
        return []
    content = "".join(line[2:] for line in match["content"].splitlines(keepends=True))
    found: list[str] = tomllib.loads(content)["dependencies"]
    return found


def interpreter(runner: Path, envs: Path) -> Path:
    """The interpreter of the runner's environment, which is made where it is not there yet.

    Raises:
        RuntimeError: It does not install; the message is the last line of the installer.
    """
    wanted = requirements(runner)
    if not wanted:
        return Path(sys.executable)
    folder = envs / runner.stem
    python, ready = folder / "bin" / "python", folder / READY
    if ready.is_file() and ready.read_text(encoding="utf-8").split("\n") == wanted:
        return python
    print(f"making {folder} with {', '.join(wanted)}", file=sys.stderr, flush=True)
    beside = Path(sys.executable).parent / "uv"
    uv = shutil.which("uv") or (str(beside) if beside.is_file() else "")
    if uv:
        lines = [
            [uv, "venv", "--clear", "--python", sys.executable, folder],
            [uv, "pip", "install", "--compile-bytecode", "--python", python, *wanted],
        ]
    else:
        lines = [[sys.executable, "-m", "venv", "--clear", folder], [python, "-m", "pip", "install", *wanted]]
    for line in lines:
        done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
        if done.returncode:
            said = [text for text in done.stderr.splitlines() if text.strip()]
            raise RuntimeError(f"does not install: {said[-1] if said else done.returncode}")
    ready.write_text("\n".join(wanted), encoding="utf-8")
    return python
