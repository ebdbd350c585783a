"""ESCO in, a versioned dataset folder out: plan, ask, filter, measure, write; the manifest comes last.

    python -m dataset_builder.build --esco ESCO.zip --version 0.2.0 --out DIR \
        --base-url http://127.0.0.1:8000/v1 --model NAME --sentences-per-skill 3

The key is read from OPENAI_API_KEY; servers without keys need none.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dataset_builder.batch_api import BatchSender, noted_batches
from dataset_builder.batch_folder import BatchFolder
from dataset_builder.batch_lines import BatchStep
from dataset_builder.build_options import BuildOptions, parse_options
from dataset_builder.chat_client import ChatClient
from dataset_builder.contract import StageError, run_command
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.forecast import forecast
from dataset_builder.generate import Generation
from dataset_builder.journal import Journal
from dataset_builder.limits import Progress
from dataset_builder.plan import make_plan, sample_skills, skills_in_file
from dataset_builder.preflight import check_before_asking, refuse_what_would_be_lost
from dataset_builder.release_folder import ReleaseFacts, write_release
from dataset_builder.rounds import run_rounds
from dataset_builder.sending import BUDGET_USED_UP
from dataset_builder.sentences import REFUSED_BY_SERVER
from dataset_builder.taxonomy_csv import read_label_space


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    options = parse_options(arguments)
    release = read_label_space(options.esco, options.language)
    plan = make_plan(release, options.families, options.seed, chosen_skills(release, options))
    say(f"{release.source.name}: {len(release.skills):,} skills, {len(plan.skills):,} asked for")
    noted = "; ".join(f"{what}: {count:,}" for what, count in release.notes.items() if count)
    if noted:
        say(f"  {noted}")
    check_before_asking(options, release)
    if options.dry_run:
        say(forecast(plan, release, options))
        return
    with Journal(options.journal) as journal:
        if not options.journal_only:
            journal.hold()
        try:
            outcome = run_rounds(options, release, plan, journal, replies_getter(options), say)
            journal.look_for_damage()
        finally:
            if journal.damaged:
                say(f"{len(journal.damaged):,} damaged rows of the journal were not trusted")
    if outcome is None:
        say(f"Come back later with the same command:\n  {options.command}")
        return
    facts = ReleaseFacts(options, release, outcome)
    manifest, written = write_release(facts)
    state = "written to" if written else "unchanged in"
    pairs = sum(file.rows for file in manifest.files if file.config == "pairs")
    say(
        f"{pairs:,} pairs for {manifest.skills.accepted:,} of {manifest.skills.requested:,} skills "
        f"({sum(manifest.skills.rejected.values()):,} rejected, {sum(manifest.skills.failed.values()):,} failed) "
        f"{state} {options.out}"
    )


def chosen_skills(release: EscoRelease, options: BuildOptions) -> tuple[Skill, ...]:
    """The skills to ask about: those of a file, a spread sample, or all."""
    if options.skills_file:
        return skills_in_file(release, options.skills_file)
    return sample_skills(release, options.skills_limit, options.seed) if options.skills_limit else release.skills


def replies_getter(options: BuildOptions) -> Callable[[Generation], bool]:
    """What puts the replies that a plan lacks into the journal: nothing, a server, its batch endpoint, or files."""

    def from_journal(generation: Generation) -> bool:
        say(f"nothing is sent; {len(generation.journal):,} replies are on file in {options.journal}")
        return True

    def live(generation: Generation) -> bool:
        refuse_to_ask_twice(generation, "Add --batch to collect them")
        missing, total = generation.missing(), len(generation.plan.asks)
        refuse_what_would_be_lost(options, len(missing), len(generation.journal.corrupt))
        say(f"{total - len(missing):,} of {total:,} requests have their reply in {options.journal}")
        endpoint = options.endpoint
        client = ChatClient(endpoint.base_url, endpoint.model, options.timeout_s, options.extra_body)
        progress = generation.run(client, missing)
        say_waits(progress)
        stop_early(progress, options)
        stop_after_outage(generation, options)
        return True

    def by_batch(generation: Generation) -> bool:
        missing = generation.missing()
        refuse_what_would_be_lost(options, len(missing), len(generation.journal.corrupt))
        endpoint = options.endpoint
        sender = BatchSender(endpoint.base_url, endpoint.model, options.timeout_s, options.extra_body)
        step = sender.step(generation, missing)
        say(f"{step.kept:,} replies collected, {step.sent:,} of {step.missing:,} missing requests sent")
        if step.unfinished:
            say(f"{step.unfinished:,} batches are not finished yet")
        return is_complete(step, generation, options)

    def by_folder(generation: Generation) -> bool:
        refuse_to_ask_twice(generation, "Give --batch in place of --batch-folder to collect them")
        missing = generation.missing()
        refuse_what_would_be_lost(options, len(missing), len(generation.journal.corrupt))
        folder = BatchFolder(options.batch_folder or Path(), options.endpoint.model, options.extra_body)
        step = folder.step(generation, missing)
        say(f"{step.kept:,} replies collected, {step.sent:,} of {step.missing:,} missing requests in {folder.requests}")
        if step.cut:
            say(f"The last line of {folder.replies} breaks off and was left out")
        if step.missing:
            say(f"Have an engine answer them into {folder.replies}, in place of one that is there")
        return is_complete(step, generation, options)

    if options.journal_only:
        return from_journal
    if options.batch_folder:
        return by_folder
    return by_batch if options.batch else live


def refuse_to_ask_twice(generation: Generation, remedy: str) -> None:
    """Leave before anything is asked while a batch endpoint has requests of this journal.

    Raises:
        StageError: it does; ends with the remedy.
    """
    if noted_batches(generation.journal):
        raise StageError("batches are on their way with these requests", remedy)


def is_complete(step: BatchStep, generation: Generation, options: BuildOptions) -> bool:
    """Whether a batch's step left nothing to wait for.

    Raises:
        StageError: nothing, and too many requests failed.
    """
    if step.complete:
        if step.kept:
            generation.missing()  # which sees what was refused among them
        stop_after_outage(generation, options)
    return step.complete


def say_waits(progress: Progress) -> None:
    """Say which tries met errors that pass."""
    which = ", ".join(f"{kind}: {count:,}" for kind, count in progress.waits.most_common())
    if which:
        say(f"{progress.waits.total():,} tries had no reply ({which})")


def stop_early(progress: Progress, options: BuildOptions) -> None:
    """Leave before the folder is written when Ctrl-C, the budget or a server that says come back stopped the run."""
    if not progress.stopped:
        return
    say(f"{progress.stopped}; replies are kept in {options.journal}. To go on:\n  {options.command}")
    if progress.stopped == "interrupted":
        raise KeyboardInterrupt
    if progress.stopped != BUDGET_USED_UP:
        raise StageError(progress.stopped, "Run the same command then")
    raise StageError(
        f"the budget ends before request {progress.sent + 1} of this run",
        "Raise it and run the same command, or add --journal-only to build from what is there",
    )


def stop_after_outage(generation: Generation, options: BuildOptions) -> None:
    """Leave before the folder is written when too many of the plan's requests failed: a version is written once.

    Refusals count, those on file from an earlier run as well: else the same command, given twice, would write it.

    Raises:
        StageError: more than `most_failed` of them did.
    """
    failed, planned = dict(generation.progress.failed), len(generation.plan.asks)
    failed |= dict.fromkeys(generation.refused - failed.keys(), REFUSED_BY_SERVER)
    if len(failed) > options.most_failed * planned:
        classes = Counter(failed.values())
        which = ", ".join(f"{kind}: {count:,}" for kind, count in classes.most_common())
        outage = "Run the same command when the server is well, or"
        remedy = "Refusals are not asked again:" if set(classes) == {REFUSED_BY_SERVER} else outage
        raise StageError(
            f"{len(failed):,} of {planned:,} requests failed ({which}); replies are kept in {options.journal}",
            f"{remedy} add --most-failed 1 to build without them",
        )


def say(text: str) -> None:
    """Print a line of the command's output."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
