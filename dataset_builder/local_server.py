"""A local chat LLM (GGUF file or Transformers folder) -> an OpenAI-compatible server on this machine.

    python -m dataset_builder.local_server unpack model.gguf FOLDER
    python -m dataset_builder.local_server serve FOLDER --port 8123

The server is `transformers serve` with continuous batching. It does not open a lone GGUF file, so that is unpacked to
a dense bfloat16 folder first.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command

HOST = "127.0.0.1"
SERVER_PROGRAM = Path(sys.executable).with_name("transformers")
# Small blocks, so that requests which begin alike share their beginning; 1,024 hold 16 requests of 1,000 tokens, and
# without the limit the server takes most of the memory.
CACHE_BLOCKS = 1024
CACHE_BLOCK_TOKENS = 16
BATCH_TOKENS = 512


def unpack_gguf(gguf: str | Path, folder: str | Path) -> Path:
    """Write the model in a GGUF file as a dense bfloat16 Transformers folder; a finished folder is left as it is.

    Raises:
        StageError: no such file, or a file that is not a GGUF model.
    """
    gguf, folder = Path(gguf), Path(folder)
    if (folder / "config.json").exists():
        return folder
    if not gguf.is_file():
        raise StageError(f"{gguf} does not exist", "Give the path of a .gguf file")
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise StageError(f"{gguf} is not a GGUF file")
    # The folder appears under its name only when it is whole.
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    _write_dense(gguf, unfinished)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(folder)
    return folder


def _write_dense(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
    )
    # The weights are dense now, yet the model still calls itself quantized and would not be saved.
    for attribute in ("is_quantized", "hf_quantizer"):
        model.__dict__.pop(attribute, None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # The server heeds a request's temperature only where the model says that it samples.
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def serving(folder: str | Path, port: int = 0, log: str | Path = os.devnull, timeout_s: float = 180) -> Iterator[str]:
    """Serve a Transformers folder while the block runs; yield the base URL, such as http://127.0.0.1:8123/v1.

    Args:
        folder: an unpacked chat model; also the model name that requests must give.
        port: 0 takes a free one.
        log: where the server's output goes.
        timeout_s: how long the server may take until its health check answers.

    Raises:
        StageError: no model in the folder, the port is in use, or the server does not become healthy.
    """
    if not (Path(folder) / "config.json").is_file():
        raise StageError(f"{folder} is not a Transformers model folder", "Unpack a GGUF file first, with `unpack`")
    port = free_port(port)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("wb") as output:
        # A process group of its own, so that Ctrl-C in the terminal reaches us first and we stop it.
        process = subprocess.Popen(
            _serve_command(folder, port), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_healthy(process, port, Path(log), timeout_s)
            yield f"http://{HOST}:{port}/v1"
        finally:
            _stop(process)


def _serve_command(folder: str | Path, port: int) -> list[str]:
    if not SERVER_PROGRAM.exists():
        raise StageError("`transformers serve` is not installed", "pip install '.[serve]'")
    options = {
        "--device": "cpu",
        "--host": HOST,
        "--port": port,
        "--cb-num-blocks": CACHE_BLOCKS,
        "--cb-block-size": CACHE_BLOCK_TOKENS,
        "--cb-max-batch-tokens": BATCH_TOKENS,
    }
    flat = [str(word) for option in options.items() for word in option]
    return [str(SERVER_PROGRAM), "serve", str(folder), "--continuous-batching", *flat]


def free_port(port: int) -> int:
    """`port` where it is free, or any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise StageError(f"port {port} is in use", "Give another with --port, or 0 for a free one") from None
        return int(probe.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StageError(f"the LLM server ended with code {process.returncode} ({_last_line(log)})", f"See {log}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            url = f"http://{HOST}:{port}/health"
            if urllib.request.urlopen(url, timeout=2).status == 200:
                return
        time.sleep(0.2)
    raise StageError(f"the LLM server was not healthy after {timeout_s:.0f} s", f"See {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: `unpack GGUF FOLDER`, or `serve FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.local_server", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    unpack = commands.add_parser("unpack", help="turn a GGUF file into a folder that can be served")
    unpack.add_argument("gguf", type=Path)
    unpack.add_argument("folder", type=Path)
    serve = commands.add_parser("serve", help="serve a folder until Ctrl-C")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--port", type=int, default=0, help="0 takes a free one")
    serve.add_argument("--log", type=Path, default=Path(os.devnull))
    options = parser.parse_args(arguments)
    if options.command == "unpack":
        print(unpack_gguf(options.gguf, options.folder))
        return
    # As after Ctrl-C, the server ends with us: it has a process group of its own, where the signal does not come.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with serving(options.folder, options.port, options.log) as base_url:
        print(f"--base-url {base_url} --model {options.folder}", flush=True)
        signal.pause()


if __name__ == "__main__":
    sys.exit(run_command(main))
