"""Build the hello model from nothing: a virtual environment, training, the int4 export, a check; then replace model/.

usage: python3 build.py [--work DIR]   (needs only Python 3.11+ and PyPI; about 4 GB of disk under DIR, mostly torch)
"""

import argparse
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "genai-operator" / "hello-model"
MAX_BYTES = 6 * 1024 * 1024
ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    # Two threads that sleep while they wait: on a busy machine spinning ones are ten times slower.
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
}


def run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, cwd=HERE, env={**os.environ, **ENVIRONMENT})


def make_environment(folder: Path) -> Path:
    """A virtual environment with requirements.txt; its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt")
    return python


def finish(folder: Path) -> None:
    """What the builder leaves to us: greedy by default, no trace of this machine, files that anybody may read."""
    config_file = folder / "genai_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["search"]["do_sample"] = False
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer_file = folder / "tokenizer_config.json"
    tokenizer = json.loads(tokenizer_file.read_text(encoding="utf-8"))
    for local in ("is_local", "local_files_only"):
        tokenizer.pop(local, None)
    tokenizer_file.write_text(json.dumps(tokenizer, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > MAX_BYTES:
        raise SystemExit(
            f"the built folder {folder} has {size} bytes; at most {MAX_BYTES} may be committed: train a smaller model"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=CACHE, help="where the environment and the intermediate files go")
    work = parser.parse_args().work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    python = make_environment(work / "venv")
    trained, built = work / "hf", work / "model"
    for folder in (trained, built):
        shutil.rmtree(folder, ignore_errors=True)
    run(python, "train.py", trained)
    builder = [python, "-m", "onnxruntime_genai.models.builder", "-i", trained, "-o", built, "-p", "int4", "-e", "cpu"]
    run(*builder, "-c", work / "cache", "--extra_options", "block_size=32", "is_symmetric=true", "accuracy_level=4")
    finish(built)
    run(python, "check.py", built)
    target = HERE / "model"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(built, target)
    print(f"{target}: {sum(file.stat().st_size for file in target.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
