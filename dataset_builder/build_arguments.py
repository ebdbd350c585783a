"""The command line of the build: its flags, their help and their defaults."""

from __future__ import annotations

import argparse

from dataset_builder.prompt_families import FAMILIES

DEFAULT_NAME = "synthetic-esco-skill-sentences"
ABOUT = """\
Have an LLM write job-ad sentences for the skills of ESCO or of another taxonomy, filter them, and write a dataset
folder that load_dataset opens. The server's key is read from OPENAI_API_KEY. Every reply is kept in a journal: after a
stop, a crash or a full disk the same command goes on, and asks for nothing that is on file."""
EXAMPLES = """\
what it would cost, without sending anything:
  python -m dataset_builder.build --esco 1.1.0 --version 1.0.0 --out DIR --base-url URL --model NAME \\
      --sentences-per-skill 10 --price 0.15 0.60 --dry-run

two good sentences for nearly every skill, within a budget:
  ... --sentences-per-skill 4 --at-least 2 --price 0.15 0.60 --budget-usd 20

at the batch price; the same command again collects, and builds in the end:
  ... --price 0.075 0.30 --batch

on a GPU, without a server; the same command again reads the replies, and builds:
  ... --provider vllm --batch-folder DIR
  vllm run-batch -i DIR/requests.jsonl -o DIR/replies.jsonl --model NAME"""


def make_parser() -> argparse.ArgumentParser:
    """The build's flags, in groups, with examples at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.build",
        usage="%(prog)s --esco PATH --version X.Y.Z --out DIR --base-url URL --model NAME [more options]",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    _add_inputs(parser.add_argument_group("what to build"))
    _add_prompts(parser.add_argument_group("what to ask for"))
    _add_server(parser.add_argument_group("who writes"))
    _add_limits(parser.add_argument_group("how fast, and at what price"))
    _add_filters(parser.add_argument_group("what to keep"))
    _add_runs(parser.add_argument_group("runs"))
    return parser


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    esco = "ESCO zips or folders, a version such as 1.1.0 to download, or one CSV of any taxonomy with the columns id, "
    esco += "label and, where there are some, description and alternative_labels"
    add("--esco", nargs="+", required=True, metavar="PATH", help=esco)
    language = "of ESCO and of the sentences, two letters (default: %(default)s)"
    add("--language", type=str.lower, default="en", metavar="CODE", help=language)
    add("--out", required=True, metavar="DIR", help="the dataset folder to write; one that exists stays as it is")
    add("--version", required=True, metavar="X.Y.Z", help="the dataset's version")
    previous = "the version before: refuse a number that hides what changed since"
    add("--previous", metavar="DIR", help=previous)
    add("--name", default=DEFAULT_NAME, help="the dataset's name (default: %(default)s)")


def _add_prompts(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    lines = "lines to ask for per skill, in whole requests (default: %(default)s)"
    add("--sentences-per-skill", type=int, default=4, metavar="N", help=lines)
    families = f"prompt families of {', '.join(FAMILIES)}, each with lines a skill where they differ, as in "
    families += "styled:8,co-mention:2 (default: %(default)s)"
    add("--families", default="styled", metavar="LIST", help=families)
    again = "ask again about skills with fewer than N sentences after the filters (default: 0, never)"
    add("--at-least", type=int, default=0, metavar="N", help=again)
    add("--rounds", type=int, default=3, metavar="N", help="times --at-least may ask again (default: %(default)s)")
    add("--skills-limit", type=int, metavar="N", help="a seeded, spread sample of N skills")
    add("--skills-file", metavar="PATH", help="a text file of skill URIs to ask about, one a line")
    add("--seed", type=int, default=13, metavar="N", help="seed of every choice (default: %(default)s)")


def _add_server(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    url = "an OpenAI-compatible server: http://127.0.0.1:8000/v1 (not needed with --batch-folder)"
    add("--base-url", default="", metavar="URL", help=url)
    add("--model", required=True, metavar="NAME", help="the model's name as the server knows it")
    add("--model-name", default="", metavar="NAME", help="its name in manifest and journal (default: --model)")
    provider = "the server's name in the journal, so that it may move (default: --base-url)"
    add("--provider", default="", metavar="NAME", help=provider)
    heed = "sampling temperature (default: %(default)s); transformers serve heeds it only for models whose "
    heed += "generation_config.json says do_sample: true"
    add("--temperature", type=float, default=0.7, metavar="T", help=heed)
    add("--top-p", type=float, default=0.9, metavar="P", help="nucleus sampling (default: %(default)s)")
    bound = "bounds a reply: N times the lines asked for (default: %(default)s)"
    add("--tokens-per-line", type=int, default=32, metavar="N", help=bound)
    add("--json-schema", action="store_true", help="ask for JSON by schema, where the server supports it")
    add("--extra-body", metavar="JSON", help="more fields for each request; null leaves one out")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--concurrency", type=int, default=8, metavar="N", help="requests at once (default: %(default)s)")
    add("--requests-per-minute", type=float, metavar="N", help="bound on requests a minute")
    add("--tokens-per-minute", type=float, metavar="N", help="bound on tokens a minute, read and written")
    hang = "seconds within which a whole reply must be there, or it counts as hanging (default: %(default)g)"
    add("--timeout", type=float, default=300.0, metavar="S", help=hang)
    tries = "tries of a request that ends in an error other than 'too much' (default: %(default)s)"
    add("--max-tries", type=int, default=8, metavar="N", help=tries)
    patience = "seconds that one request may wait in all (default: %(default)g)"
    add("--patience", type=float, default=3600.0, metavar="S", help=patience)
    again = "times that a bad reply is asked again with another seed, 0 to 2 (default: %(default)s)"
    add("--asks-again", type=int, default=2, metavar="N", help=again)
    add("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="US dollars per million tokens read and written")
    add("--budget-usd", type=float, metavar="USD", help="stop before more than this is spent, all runs together")
    add("--budget-tokens", type=int, metavar="N", help="stop before more tokens than this are used")


def _add_filters(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--benchmarks", metavar="DIR", help="folder of benchmark CSVs: copies and near-copies of their sentences go")
    encoder = "encoder that must find the skill near its sentence (round trip)"
    add("--round-trip-encoder", metavar="DIR_OR_HUB_ID", help=encoder)
    add("--round-trip-k", type=int, metavar="K", help="among how many (default: chosen on *_validation.csv)")
    floor = (
        "a skill with fewer sentences within K keeps its nearest ones, up to N, within the rank that would be chosen"
    )
    add("--round-trip-at-least", type=int, default=0, metavar="N", help=f"{floor} (default: %(default)s)")
    unfiltered = "keep all but copies of benchmark sentences, to see what the filters are worth"
    add("--unfiltered", action="store_true", help=unfiltered)


def _add_runs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dry-run", action="store_true", help="show requests, tokens, money and time; send nothing")
    a_request = "seconds a request takes, for the time that --dry-run shows (default: %(default)g)"
    add("--seconds-per-request", type=float, default=3.0, metavar="S", help=a_request)
    add("--journal", metavar="PATH", help="file of all replies (default: OUT.journal.sqlite)")
    add("--journal-only", action="store_true", help="build from the journal; send nothing")
    batch = "use the provider's batch endpoint: each call collects what is finished and sends what is missing, and the "
    batch += "last one builds (give the batch price with --price)"
    add("--batch", action="store_true", help=batch)
    folder = "for an engine that reads batches from disk, such as `vllm run-batch`: write DIR/requests.jsonl, and take "
    folder += "what DIR/replies.jsonl holds at the next call (needs --provider)"
    add("--batch-folder", metavar="DIR", help=folder)
    outage = (
        "write no folder when a larger share of all requests fails, as in an outage; the same command asks for them "
    )
    outage += "again (default: %(default)s)"
    add("--most-failed", type=float, default=0.05, metavar="SHARE", help=outage)
