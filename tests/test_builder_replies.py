"""What LLMs send back: lines are read, and every fault has its name."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from dataset_builder import build, replies, stub_server
from dataset_builder.contract import sha256_of_lines
from dataset_builder.replies import parse_reply
from dataset_builder.schema import PAIRS_FILES, DatasetManifest

GOOD = "1. You plan the yearly costs of our clinics.\n2. Cost planning and reports\n3. You report to the board."


def test_numbered_lines():
    parsed = parse_reply(GOOD, 3)
    assert parsed.lines == {
        0: "You plan the yearly costs of our clinics.",
        1: "Cost planning and reports",
        2: "You report to the board.",
    }
    assert parsed.faults == ()
    assert parsed.complete


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", replies.EMPTY),
        ("  \n ", replies.EMPTY),
        ("I'm sorry, but I can't help with that.", replies.REFUSAL),
        ("As an AI language model, I have no opinion on this.", replies.REFUSAL),
        ("I’m sorry, but I can’t help with that.", replies.REFUSAL),  # noqa: RUF001
        ("1. I cannot help with that request.", replies.REFUSAL),
        ("1. I cannot help with that request.\n2. I'm sorry.", replies.REFUSAL),
        ("1. Unfortunately, I am unable to write this.", replies.REFUSAL),
        ("1. Sorry, but I can't.", replies.REFUSAL),
        ("Sorry, I won't be able to write lines about weapons.", replies.REFUSAL),
        ("Unfortunately, I will not be able to write them.", replies.REFUSAL),
        ("1. Sorry, I won’t be able to write this.", replies.REFUSAL),  # noqa: RUF001
        ("This request violates our policy on weapons.", replies.REFUSAL),
        ('{"lines": ["I cannot help with that request."]}', replies.REFUSAL),
        ("1. x" * 10_000, replies.OVERSIZED),
        ("<html><body>Bad gateway</body></html>", replies.HTML),
        ("Sie planen die Kosten.\n", replies.NO_LINES),
        ("1. Sie planen jede Woche die Arbeit unserer Werkstatt.\n2. Sie sprechen mit Kunden.", replies.WRONG_LANGUAGE),
    ],
)
def test_a_reply_without_use_has_one_reason(text, fault):
    parsed = parse_reply(text, 2)
    assert (parsed.lines, parsed.faults, parsed.useless) == ({}, (fault,), fault)


@pytest.mark.parametrize(
    ("text", "lines", "fault"),
    [
        (
            "Sure, here they are:\n1. Plans costs.\n2. Reports costs.",
            ["Plans costs.", "Reports costs."],
            replies.PREAMBLE,
        ),
        ("1. Plans costs.", ["Plans costs."], replies.FEWER_LINES),
        ("1. Plans costs.\n2. plans costs.", ["Plans costs."], replies.REPEATED),
        ('1. "Plans costs."\n2. Reports costs.', ["Plans costs.", "Reports costs."], replies.QUOTES),
        ("1. **Plans** costs.\n2. `Reports` costs.", ["Plans costs.", "Reports costs."], replies.MARKUP),
        ("Plans all costs.\nReports all costs.", ["Plans all costs.", "Reports all costs."], replies.UNNUMBERED),
    ],
)
def test_a_fault_in_a_part_keeps_the_rest(text, lines, fault):
    parsed = parse_reply(text, 2)
    assert list(parsed.lines.values()) == lines
    assert fault in parsed.faults
    assert parsed.useless == ""


def test_a_refused_line_goes_and_the_rest_is_kept():
    parsed = parse_reply("1. You plan the yearly costs.\n2. I cannot assist with this skill.", 2)
    assert parsed.lines == {0: "You plan the yearly costs."}
    assert parsed.faults == (replies.REFUSAL, replies.FEWER_LINES)
    assert not parsed.complete


@pytest.mark.parametrize(
    "line",
    [
        'You translate short texts like "I\'m sorry" into full sentences.',
        "You explain to callers that we cannot help without a date.",
        "Sorry states of repair are your challenge.",
        "You say so when a request violates our policy.",
        "As an AI engineer, you train models.",
        "As an AI model trainer you check labels.",
    ],
)
def test_a_line_about_refusing_is_no_refusal(line):
    assert parse_reply(f"1. {line}", 1).lines == {0: line}


REFUSING = [
    ("As an AI assistant, here are your lines:", replies.PREAMBLE),
    ("I can't name companies, but here are your lines:", replies.PREAMBLE),
    ("You learn why a firm cannot comply.", replies.UNNUMBERED),
]


@pytest.mark.parametrize(("first", "fault"), REFUSING)
def test_words_of_refusal_before_all_lines_lose_none(first, fault):
    """With the lines that were asked for, two after a preamble or with it, nothing was refused."""
    lines = ["You plan costs.", "You report costs."]
    text = f"{first}\n1. {lines[0]}\n2. {lines[1]}" if fault == replies.PREAMBLE else f"{first}\n{lines[0]}"
    expected = lines if fault == replies.PREAMBLE else [first, lines[0]]
    parsed = parse_reply(text, 2)
    assert (list(parsed.lines.values()), parsed.faults) == (expected, (fault,))


@pytest.mark.parametrize(
    "text",
    [
        "I cannot write these lines. You could:\n1. Ask a colleague\n2. Read about it",
        "I cannot write these lines. You could:\n1. Ask a colleague\n2. Read about it\n3. Try later\n4. Wait",
        "I'm sorry, but I can't help.\nIs there anything else?\nLet me know!",
    ],
)
def test_advice_after_a_refusal_is_no_lines(text):
    """Three lines are asked for."""
    assert parse_reply(text, 3) == replies.ParsedReply({}, (replies.REFUSAL,), 3)


def test_json_on_one_line_keeps_the_lines_about_refusing():
    text = '{"lines": ["You list what cannot comply with the code.", "Fire codes"]}'
    assert parse_reply(text, 2).lines == {0: "You list what cannot comply with the code.", 1: "Fire codes"}


def test_a_line_that_the_token_limit_cut_is_left_out_and_a_whole_last_line_is_not():
    cut = parse_reply("1. Plans costs.\n2. Reports cos", 2, finish_reason="length")
    assert cut.lines == {0: "Plans costs."}
    assert set(cut.faults) == {replies.TRUNCATED, replies.FEWER_LINES}
    assert parse_reply("1. Plans costs.\n2. Reports costs.", 2, finish_reason="length").complete


NUMBERINGS = ["1) {}", "(1) {}", "- 1. {}", "1: {}", "1. * {}", "1. Duty: {}", "1. - {}", "**1.** {}", "**1. {}**"]
NUMBERINGS += ["1.) {}", "1\\. {}", "1 - {}", "1- {}", "1 – {}", "1、{}", "1．{}", "（1）{}", "1：{}", "### 1. {}"]  # noqa: RUF001
NUMBERINGS += ["1. Sentence that implies it: {}", "1. **Duty** {}", "1. **Duty:** {}", "**1. Duty:** {}", "1. Duty：{}"]  # noqa: RUF001


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_ways_to_number_a_line(numbering):
    assert parse_reply(numbering.format("Plans the costs."), 1).lines == {0: "Plans the costs."}


@pytest.mark.parametrize(
    "line",
    [
        "Duty-free sales and tax refunds",
        "Sentence-level parsing of contracts",
        '"Agile" and "Scrum"',
        "'Lean' or 'Kanban'",
        "The team's 'can do' spirit",
        "„Lean“ oder „Kanban“",
        "5 - 10 years at the wheel",
        "1.5 years of nursing",
        "10 years of nursing",
    ],
)
def test_what_only_looks_like_a_style_or_quotes_stays(line):
    assert parse_reply(f"1. {line}", 1).lines == {0: line}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("'You don't overspend.'", "You don't overspend."),
        ("“Plans costs.”", "Plans costs."),
        ("Duty - plans costs.", "plans costs."),
        ("Requirement: “Plans costs.”", "Plans costs."),
        ("„Plant die Kosten.“", "Plant die Kosten."),
        ("«Planifie les coûts.»", "Planifie les coûts."),
        ("»Plant die Kosten.«", "Plant die Kosten."),
        ("‚Plant die Kosten.‘", "Plant die Kosten."),  # noqa: RUF001
        ("「計画を立てます。」", "計画を立てます。"),
    ],
)
def test_quotes_and_styles_around_a_line_go(line, text):
    assert parse_reply(f"1. {line}", 1).lines == {0: text}


def test_surplus_lines_are_left_out():
    assert len(parse_reply(GOOD, 2).lines) == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        # The name of the style stands alone, above its line.
        ("1. **Requirement**\n   Two years.\n\n2. Duty:\n\nPlans costs.", ["Two years.", "Plans costs."]),
        # Lines that are wrapped: an indented end, a small letter, no end of a sentence.
        ("1. Plans costs.\n   Reports.\n2. Pays.", ["Plans costs. Reports.", "Pays."]),
        ("1. Two years\nin a clinic.\n2. Pays all\nbills.", ["Two years in a clinic.", "Pays all bills."]),
        ("1. Two years in\nBerlin.\n2. Pays.", ["Two years in Berlin.", "Pays."]),
        ("1. Feeds horses\n3:1 each day.\n2. Pays\n1.5 euros.", ["Feeds horses 3:1 each day.", "Pays 1.5 euros."]),
        # What belongs to no line: a heading, a list below a line, a remark at the end, a fence.
        ("1. Cost plan\nDuty:\n2. Pays bills\nLet me know!", ["Cost plan", "Pays bills"]),
        ("1. Plans costs\n - rent\n - fuel\n2. Pays bills", ["Plans costs", "Pays bills"]),
        ("1. Plans costs.\n   (This implies it.)\n2. Pays\n   Why so: it costs.", ["Plans costs.", "Pays"]),
        ("```\n1. Plans costs\n2. Pays bills\n```", ["Plans costs", "Pays bills"]),
        ("1. Plans costs\n\nSome thoughts on it.\n2. Pays bills", ["Plans costs", "Pays bills"]),
        # Lines without numbers.
        ("Here are two lines:\n- Plans costs\n- Pays bills", ["Plans costs", "Pays bills"]),
        ("Sure!\n- Plans costs\n- Pays bills", ["Plans costs", "Pays bills"]),
    ],
)  # fmt: skip
def test_what_belongs_to_a_line_and_what_does_not(text, lines):
    assert list(parse_reply(text, 2).lines.values()) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1. Plans costs. 2. Pays bills. 3. Who calls? 4. Costs and bills", ["Plans costs.", "Pays bills."]),
        ("(1) Plans costs. (2) Pays bills.", ["Plans costs.", "Pays bills."]),
        ("1) Duty: Plans costs! 2) Requirement: Pays bills", ["Plans costs!", "Pays bills"]),
        ("**1.** Plans costs. **2.** Pays bills.", ["Plans costs.", "Pays bills."]),
        ("Here are two:\n1. Plans costs. 2. Pays bills.", ["Plans costs.", "Pays bills."]),
        # The second line is there; the number is no next one, stands within a sentence, or counts something else.
        ("1. Fills forms. 2. of them are long.\n2. Pays.", ["Fills forms. 2. of them are long.", "Pays."]),
        ("1. Plans costs. 3. Pays bills.", ["Plans costs. 3. Pays bills."]),
        ("1. Teaches grades 1 and 2. Plans lessons.", ["Teaches grades 1 and 2. Plans lessons."]),
        ("1. Tools: 1. Saws. 2. Drills.", ["Tools: 1. Saws. 2. Drills."]),
        ("1. Earns 2.5 euros. 2.5 more are planned.", ["Earns 2.5 euros. 2.5 more are planned."]),
    ],
)  # fmt: skip
def test_numbered_lines_that_stand_in_one_are_read_each_by_itself(text, lines):
    parsed = parse_reply(text, 2)
    assert list(parsed.lines.values()) == lines
    assert parsed.complete is (len(lines) == 2)


def test_of_lines_in_one_that_was_cut_the_whole_ones_are_kept():
    cut = parse_reply("1. Plans costs. 2. Pays bills. 3. Answers to the bo", 3, "length")
    assert cut.lines == {0: "Plans costs.", 1: "Pays bills."}
    assert cut.faults == (replies.TRUNCATED, replies.FEWER_LINES)


def test_a_preamble_is_never_taken_for_a_line():
    """Four are asked for; the preamble and three bullets are four, of which each would get the next one's style."""
    bullets = "- Plans all costs.\n- Reports costs.\n- Pays bills."
    assert parse_reply(f"Here are lines for the skill:\n{bullets}", 4).faults == (replies.NO_LINES,)
    whole = parse_reply(f"Here are lines for the skill:\n{bullets}\n- Files bills.", 4)
    assert whole.complete
    assert whole.faults == (replies.UNNUMBERED, replies.PREAMBLE)


def test_replies_of_the_release_have_the_lines_that_they_had(repo):
    """A hash over the lines of every tenth reply: where it changes, see whether rows of the release change with it."""
    replies_kept = pq.read_table(repo / "dataset_builder/releases/replies.parquet").to_pylist()[::10]
    lines = [sorted(parse_reply(one["text"], 4, one["finish_reason"]).lines.items()) for one in replies_kept]
    assert sum(map(len, lines)) == 5_950
    assert sha256_of_lines([repr(one) for one in lines]).startswith("f359720155749c00")


def test_json_by_schema():
    assert parse_reply('{"lines": ["Plans costs.", "Reports costs."]}', 2).complete
    assert parse_reply('{"lines": ["Plans costs."', 2).faults == (replies.NO_LINES,)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"lines": ["Plans costs.", "Reports costs."]}\n```',
        'Here you are:\n\n```\n["Plans costs.", "Reports costs."]\n```\nGood luck!',
    ],
)
def test_json_in_a_fence(text):
    assert parse_reply(text, 2).lines == {0: "Plans costs.", 1: "Reports costs."}


def test_whole_lines_of_json_that_was_cut_are_kept():
    """The third line breaks off; the second is whole, although it has no full stop."""
    cut = parse_reply('{"lines": ["Plans \\"all\\" costs.", "Monthly reports", "Answers to the bo', 3, "length")
    assert cut.lines == {0: 'Plans "all" costs.', 1: "Monthly reports"}
    assert cut.faults == (replies.TRUNCATED, replies.FEWER_LINES)
    assert parse_reply('{"lines": ["Monthly reports"]}', 1, "length").faults == ()
    assert parse_reply('{"lines": [{"text": "Mon', 1, "length").faults == (replies.NO_LINES,)


def test_a_decimal_at_the_start_of_a_line_of_json_stays():
    assert parse_reply('{"lines": ["1.5 years of nursing"]}', 1).lines == {0: "1.5 years of nursing"}


def test_numbers_within_json_are_no_part_of_the_lines():
    """The second line begins with a number of its own."""
    parsed = parse_reply('{"lines": ["1. Plans costs.", "3. floor: cleans windows", "Reports", 7]}', 4)
    assert parsed.lines == {0: "Plans costs.", 1: "3. floor: cleans windows", 2: "Reports"}
    assert parsed.faults == (replies.FEWER_LINES,)


def test_c_plus_plus_and_stars_inside_a_line_survive():
    line = "Good C++ and C# skills, rated 5* by peers"
    assert parse_reply(f"1. {line}", 1).lines[0] == line


def test_short_text_is_never_foreign():
    assert parse_reply("1. Java, React\n2. UML", 2).complete


THOUGHT = "The user wants three lines. Drafts:\n1. A draft of a line.\n2. Another draft."


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>\n{THOUGHT}\n</think>\n\n{GOOD}",
        f"<Thinking>{THOUGHT}</Thinking>{GOOD}",
        f"{THOUGHT}\n</think>\n{GOOD}",  # the prompt ended with the opening mark
        f"<think>It says <think> {THOUGHT}</think> and so on.</think>\n{GOOD}",
        "<think></think>\n1. You plan the yearly costs of our clinics.\n<think>Next.</think>\n"
        "2. Cost planning and reports\n3. You report to the board.",
        f'<think>{THOUGHT}</think>{{"lines": ["You plan the yearly costs of our clinics.", '
        '"Cost planning and reports", "You report to the board."]}',
    ],
)
def test_what_a_model_thinks_before_it_answers_is_counted_and_no_part_of_the_lines(reply):
    assert parse_reply(reply, 3) == replace(parse_reply(GOOD, 3), faults=(replies.THINKING,))


@pytest.mark.parametrize(
    ("reply", "faults"),
    [
        (f"<think>\n{THOUGHT}", [replies.UNFINISHED_THINKING]),
        (f"{GOOD}\n<think>Are these good?", [replies.UNFINISHED_THINKING]),
        (f"<think>{THOUGHT}</think> <think>{THOUGHT}", [replies.UNFINISHED_THINKING]),
        (f"<think>{THOUGHT}</think>\n", [replies.THINKING, replies.EMPTY]),
        (f"<think>{THOUGHT}</think>I'm sorry, but I cannot help.", [replies.THINKING, replies.REFUSAL]),
        (f"<think>{'1. A draft. ' * 2_000}</think>\n{GOOD}", [replies.OVERSIZED]),
        (
            f"<think>{THOUGHT}</think>1. Sie planen jede Woche die Arbeit unserer Werkstatt.",
            [replies.THINKING, replies.WRONG_LANGUAGE],
        ),
    ],
)
def test_a_reply_that_is_thoughts_alone_has_no_lines(reply, faults):
    parsed = parse_reply(reply, 3)
    assert (parsed.lines, list(parsed.faults)) == ({}, faults)


def test_a_thought_that_was_cut_is_asked_again_and_none_becomes_a_row(tmp_path, monkeypatch):
    """6 skills: the first reply to each is cut within its thought, the second is whole: 12 requests, 6 of each kind."""
    asked, good = set(), stub_server.reply_text

    def thinking(request, lines, _=None):
        about = request["messages"][-1]["content"]
        first = about not in asked
        asked.add(about)
        return f"<think>{THOUGHT}" if first else f"<think>{THOUGHT}</think>\n{good(request, lines)}"

    monkeypatch.setattr(stub_server, "reply_text", thinking)
    taxonomy = tmp_path / "own.csv"
    taxonomy.write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(6)))
    with stub_server.StubServer() as server:
        given = ["--esco", taxonomy, "--version", "0.1.0", "--out", tmp_path / "d", "--model", "stub"]
        build.main([str(one) for one in (*given, "--base-url", server.url)])
        assert server.requests == 12
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.replies == {replies.THINKING: 6, replies.UNFINISHED_THINKING: 6}
    assert manifest.skills.accepted == 6
    rows = [row for path in PAIRS_FILES.values() for row in pq.read_table(tmp_path / "d" / path).to_pylist()]
    assert manifest.sentences_written == 24
    assert not any("raft" in row["sentence"] for row in rows)


@pytest.mark.parametrize("text", ["[" * 19_000, '{"a": ' * 3_000, f"[{'1' * 5_000}]"])
def test_json_that_no_parser_reads_is_a_reply_without_lines(text):
    assert parse_reply(text, 2).faults == (replies.NO_LINES,)


@pytest.mark.parametrize("between", ["---", "***", "The skill is not named here."])
def test_what_stands_between_lines_is_no_part_of_them(between):
    """A short line ends where it ends; what follows it is a rule or a remark."""
    text = f"1. Plan rosters\n{between}\n2. Check stock\n{between}\n3. Bake bread\n4. Sell it"
    assert parse_reply(text, 4).lines == {0: "Plan rosters", 1: "Check stock", 2: "Bake bread", 3: "Sell it"}
