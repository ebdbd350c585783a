"""A GGUF chat model -> an OpenAI-compatible server on this machine's CPU, much faster than an unpacked folder.

    python -m dataset_builder.openvino_server model.gguf --port 8123

OpenVINO GenAI keeps the weights in the file's own few bits, computes in 8-bit integers where the processor can, and
batches requests as they come. It reads Qwen2, Qwen3, Llama and SmolLM files whose weights are Q4_0, Q4_K, Q6_K, Q8_0 or
F16. Everything else is served by `dataset_builder.local_server`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, run_command
from dataset_builder.engine_runner import Answer, EngineError, Request, Runner
from dataset_builder.local_server import HOST, free_port

MAX_RUNNING = 32
BATCH_TOKENS = 512
CACHE_GB = 2
MAX_TOKENS = 1024
KEEP_ALIVE_S = 600  # longer than any client waits between two requests, so that none meets a closed connection
REMEDY = "pip install '.[openvino]'"


class UnknownModelError(ValueError):
    """A request names a model that this server does not have."""


class OpenVinoEngine:
    """OpenVINO GenAI's continuous batching over a GGUF file. Not safe for threads: one thread adds and steps.

    Args:
        gguf: the model.
        max_running: requests that run at once; more wait.
        threads: cores to compute on; 0 takes all. A core that others use as well slows down every one of them.
        cache_gb: memory for the requests' keys and values, shared where they begin alike.

    Raises:
        StageError: OpenVINO GenAI is not installed, or cannot read the file.
    """

    def __init__(self, gguf: Path, max_running: int = MAX_RUNNING, threads: int = 0, cache_gb: int = CACHE_GB) -> None:
        try:
            import openvino_genai  # type: ignore[import-untyped]
        except ImportError:
            raise StageError("OpenVINO GenAI is not installed", REMEDY) from None
        self._genai = openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = BATCH_TOKENS
        scheduler.max_num_seqs = max_running
        scheduler.cache_size = cache_gb
        properties = {"INFERENCE_NUM_THREADS": threads} if threads else {}
        try:
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(str(gguf), scheduler, "CPU", properties)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise StageError(f"{gguf} cannot be opened by OpenVINO ({reason})", "Serve it unpacked instead") from None
        self._tokenizer = self._pipeline.get_tokenizer()
        self._running: dict[int, tuple[Any, int]] = {}

    def add(self, number: int, request: Request) -> None:
        """Take a request."""
        prompt = self._tokenizer.apply_chat_template(request.messages, add_generation_prompt=True)
        tokens = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
        config = self._genai.GenerationConfig()
        config.max_new_tokens = request.max_tokens
        config.do_sample = request.temperature > 0
        if config.do_sample:
            config.temperature, config.top_p = request.temperature, request.top_p
            config.rng_seed = request.seed
        config.eos_token_id = self._tokenizer.get_eos_token_id()
        handle = self._pipeline.add_request(number, tokens, config)
        self._running[number] = (handle, int(tokens.shape[1]))

    def step(self) -> dict[int, Answer]:
        """Advance by one token each."""
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        running = self._genai.GenerationStatus.RUNNING
        ended = {number: held for number, held in self._running.items() if held[0].get_status() != running}
        return {number: self._answer(*self._running.pop(number)) for number in ended}

    def clear(self) -> None:
        """Cancel what runs."""
        for handle, _ in self._running.values():
            handle.cancel()
        self._running.clear()

    def _answer(self, handle: Any, prompt_tokens: int) -> Answer:
        outputs = handle.read_all()
        if not outputs:  # ignored: it does not fit into the cache
            return Answer("", "length", prompt_tokens, 0)
        output = outputs[0]
        cut = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        text = self._tokenizer.decode(output.generated_ids, skip_special_tokens=True)
        return Answer(text, "length" if cut else "stop", prompt_tokens, len(output.generated_ids))


def read_request(values: Any, model: str) -> Request:
    """The request in a chat completion's JSON.

    Raises:
        UnknownModelError: it names another model.
        ValueError: it is no request, or a value makes no sense.
    """
    if not isinstance(values, dict) or not isinstance(values.get("messages"), list) or not values["messages"]:
        raise ValueError("messages must be a list of role and content")
    if values.get("model") != model:
        raise UnknownModelError(f"model {values.get('model')!r} not found; this server has {model!r}")
    messages = []
    for message in values["messages"]:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError("each message needs a role and a text content")
        messages.append({"role": str(message.get("role")), "content": message["content"]})
    try:
        max_tokens = int(values.get("max_tokens") or values.get("max_completion_tokens") or MAX_TOKENS)
        temperature, top_p = (
            1.0 if values.get(name) is None else float(values[name]) for name in ("temperature", "top_p")
        )
        seed = int(values.get("seed") or 0)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("max_tokens, temperature, top_p and seed must be numbers") from None
    if max_tokens < 1 or not 0 <= temperature <= 2 or not 0 < top_p <= 1:
        raise ValueError("max_tokens must be at least 1, temperature 0 to 2, top_p above 0 and at most 1")
    return Request(messages, max_tokens, temperature, top_p, seed % 2**32)


def make_app(runner: Runner, model: str) -> Any:
    """The HTTP side: /v1/chat/completions, /v1/models and /health."""
    from starlette.applications import Starlette
    from starlette.requests import Request as HttpRequest
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def failure(status: int, code: str, error: Exception) -> JSONResponse:
        return JSONResponse({"error": {"message": str(error)[:500], "code": code}}, status_code=status)

    async def complete(http: HttpRequest) -> JSONResponse:
        try:
            answer = await runner.answer(read_request(await http.json(), model))
        except UnknownModelError as error:
            return failure(404, "model_not_found", error)
        except ValueError as error:
            return failure(400, "invalid_request", error)
        except EngineError as error:
            return failure(500, "engine_failed", error)
        message = {"role": "assistant", "content": answer.text}
        usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
        return JSONResponse({"object": "chat.completion", "model": model, "choices": [choice], "usage": usage})

    async def models(_: HttpRequest) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": model, "object": "model"}]})

    async def health(_: HttpRequest) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: serve a GGUF file until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.openvino_server", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--name", help="the model's name in requests (default: the file's folder)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--max-running", type=int, default=MAX_RUNNING, help="requests at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="cores to compute on (default: all)")
    options = parser.parse_args(arguments)
    if not options.gguf.is_file():
        raise StageError(f"{options.gguf} does not exist", "Give the path of a .gguf file")
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise StageError(f"{error.name} is not installed", REMEDY) from None
    port = free_port(options.port)
    name = options.name or options.gguf.resolve().parent.name
    app = make_app(Runner(OpenVinoEngine(options.gguf, options.max_running, options.threads)), name)
    print(f"--base-url http://{HOST}:{port}/v1 --model {name}", flush=True)
    uvicorn.run(app, host=HOST, port=port, log_level="warning", timeout_keep_alive=KEEP_ALIVE_S)


if __name__ == "__main__":
    sys.exit(run_command(main))
