"""A passage -> whether it can ask for a skill at all: company praise, benefits, pay, equal-opportunity text cannot.

Two cues: what the passage says (a gate calibrated on labelled job-ad sentences, see calibrate.py) and the heading it
stands under.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from passages import Passage
from skill_index import Vectors

# Whole headings, and what may follow a dash or a bracket: "Benefits" is about the offer, "Benefits adviser" is a job.
_OFFERED = r"(?:benefits?|perks?|offer|compensation|salary|pay|remuneration|rewards?|package|bonus(?:es)?|wellbeing)"
_EQUALITY = r"(?:diversity|inclusion|equity|equality|belonging)"
_OFFER_HEADING = re.compile(
    rf"""(?ix) ^\W* (?:
      (?:what|why|how) \s+ (?: we | you(?:['’]?ll|\s+will)?\s+get | us\b | join\b | work\b )
        (?! \s+ (?:are\s+looking|look|need|expect|want|require|seek) ) .*
    | (?:we\s+offer|what['’]?s\s+in\s+it\s+for\s+you|in\s+return|how\s+to\s+apply) \b .*
    | (?:about|who) \s+ (?:us|we\s+are|our|the\s+(?:company|employer|organi[sz]ation)) .*
    | company\s+(?:description|profile|overview) .*
    | our\s+(?:commitment|values|culture|mission|offer)\b .*
    | (?: (?:(?:our|the|your|employee|company|key|additional|other|great|main|some)\s+){{0,2}}
          {_OFFERED} (?: \s*(?:,|/|&|\+|\band\b)\s* (?:our\s+|other\s+)?{_OFFERED} )*
          (?: \s+ (?:package|range|scale|details?|information|offered|for\s+you|we\s+offer|includes?|of\s+the\s+job) )?
        | (?:(?:benefits?|perks?)\s+(?:of|at|when|and)\s+.*)
        | (?:working\s+)?hours (?:\s+(?:of\s+work|per\s+week))? | (?:(?:work|job)\s+)?location | address
        | contact (?:\s+(?:us|details?|persons?|information))?
        | equal (?:\s+|-)? (?:employment|opportunit(?:y|ies)|pay)\b .* | eeo\b .* | disclaimer
        | {_EQUALITY} (?: \s*(?:,|&|\band\b)\s* {_EQUALITY} )* (?: \s+(?:statement|policy|commitment) )?
        | (?:privacy|legal) (?:\s+(?:notice|policy|statement|information|disclaimer))?
      ) (?: \s* [-–—:|(] .* )?
    )\s*$"""
)
_ASKING = re.compile(
    r"""(?ix) \b (?: requirements? | qualifications? | skills? | responsibilit(?:y|ies) | duties | tasks | experience
    | competenc(?:e|es|ies) | profile | looking\s+for | role | job | position | essential | desirable | must | education
    | knowledge | about\s+you | (?:ideal\s+)?candidate | person\s+spec(?:ification)? | (?:tech\w*\s+)?stack
    | day[-\s]to[-\s]day | activities | you(?:['’]?ll)?\s+(?:do|bring|have|need|are|will|offer)
    | your\s+(?:day|work|mission) ) \b"""
)
# What a heading over a list consists of, beside the words above: "SQL knowledge" holds more, and asks itself.
_OF_A_HEADING = frozenset(
    """a about additional an and are as be bring candidate core criteria daily day days description desired do for from
    general good great have ideal ideally if in is it job key know like list looking ll main minimum mission must my
    need needed nice of offer or other our person personal plus preferred profile required requested role soft
    specific specification summary technical that the these this to typical we what who will with work you your
    professional previous relevant necessary mandatory optional basic qualities attributes abilities ability""".split()
)
_WORD = re.compile(r"[^\W_]+")
_BULLET = re.compile(r"^\s*\*\s+$")
_AROUND_HEADING = " *#_\t\r\u2002"
_NOT_A_REQUIREMENT = re.compile(
    r"""(?ix)
      equal[-\s]opportunit(?! (?:y|ies)\s+(?:laws?|legislation|acts?|monitoring|training)\b )
    | regardless\s+of | without\s+regard\s+to | \brace\b.*\breligion\b
    | \bsexual\s+orientation\b | protected\s+veteran | reasonable\s+(?:accommodation|adjustment)s?
    | \bcompetitive\s+salary | ^our\s+privacy\s+(?:policy|notice)\b
    | \b(?:see|read|view|accept|in|under|with)\s+(?:our|the)\s+(?:\w+\s+)?privacy\s+(?:policy|notice)\b
    | \bapply\s+(?:now|today|online|by|via|here)\b | \bsend\s+(?:us\s+)?your\s+(?:cv|resume|application)
    | \bdays?\s+(?:of\s+)?(?:holiday|vacation|annual\s+leave)\b | \bfree\s+(?:lunch|coffee|parking|fruit|drinks)
    | \bfounded\s+in\b | \bheadquarter | (?:^|\b(?:our|have|has|with)\s+(?:[\w-]+\s+){0,3})offices?\s+in\b
    """
)
# Where to look or write, and the words that go with it; a link behind a requirement is only where it is explained.
_LINK = re.compile(r"(?:https?://|\bwww\.)\S*", re.IGNORECASE)
_MAIL = re.compile(r"\S@\S+\.\w")
_ABOUT_LINK = re.compile(
    r"""(?ix) \b (?: appl(?:y|ication) | visit | contact | e-?mail | questions? | website | follow | join\s+us | cvs?
    | r[eé]sum[eé]s? | pictures? | (?:more|further)\s+(?:about|info\w*|details?) | (?:find|check)\s+(?:us|out)
    | write\s+to | get\s+in\s+touch ) \b"""
)
# Pay and insurance are the offer's, unless they are what the work is about.
_PAY = re.compile(
    r"""(?ix)
      \b401\s?\(?k\)? | \bpaid\s+(?:time\s+off|holiday|leave|vacation) | \bannual\s+leave\b
    | \b(?:health|dental|life|medical|vision)\s+insurance\b | \bpension\b | \bper\s+annum\b
    | (?:\d (?:\s?(?:[a-z]{3}|dollars?|euros?|pounds?))? | \b(?:pay|paid|salary|wages?|gross|net))
      \s+per\s+(?:hour|year|month)\b
    | [$€£]\s?\d | \d\s?(?:k\b|€|eur\b|usd\b|gbp\b) | \bbonus(?:es)?\b
    """
)
_WORK_WITH_PAY = re.compile(
    r"""(?ix)
      \b (?: sell | advis | process | handl | manag(?:e|es|ing)\b | administ | calculat | settl | underwrit | report
    | forecast | plan(?:s|ning)?\b | invoic | customer | client | applications?\b | claims?\b | budgets?\b | portfolio
    | accounts\b | policyholder | visitor | patient | units?\b | orders?\b )"""
)


@dataclass(frozen=True)
class Gate:
    """Logistic regression on a passage's vector: probability of a skill = sigmoid(weights . vector + bias).

    `weights`: (dimensions,). Passages under `least` give nothing.
    """

    weights: Vectors
    bias: float
    least: float

    def probabilities(self, vectors: Vectors) -> Vectors:
        """Probability that each passage names a skill. vectors: (passages, dimensions) -> (passages,)."""
        logits = vectors @ self.weights + self.bias
        result: Vectors = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
        return result


def cannot_ask(passages: Sequence[Passage], text: str) -> list[bool]:
    """For each passage, whether its words or the heading above it say that it asks for nothing.

    Args:
        passages: passages of `text`, in its order.
        text: the user's text with its markup blanked.
    """
    under_offer = follows_short_line = False
    verdicts = []
    line = end_of_last = 0
    for passage in passages:
        opens_list = False
        line = max(line, text.rfind("\n", line, passage.start) + 1)
        # On a line that holds more than the passage, only what lies between is looked at.
        is_short_line = end_of_last <= line and _is_heading(passage, text, line)
        if is_short_line:
            # Below "Benefits" one short line after the other is what is offered: a part of its own begins after a blank
            # line or a longer one, or asks.
            is_apart = text.count("\n", end_of_last, line) > 1 or text[passage.end : passage.end + 1] == ":"
            goes_on = under_offer and follows_short_line and not is_apart and not passage.text.endswith(":")
            if not goes_on or _ASKING.search(passage.text):
                under_offer = bool(_OFFER_HEADING.match(passage.text))
            opens_list = _opens_list(passage.text)
        follows_short_line = is_short_line
        end_of_last = passage.end
        # "Pay: 17 an hour" is a line about the offer, and says nothing of the lines below it.
        field, colon, content = passage.text.partition(": ")
        about_offer = bool(colon and content and len(field.split()) <= 5 and _OFFER_HEADING.match(field))
        muted = under_offer or opens_list or about_offer
        verdicts.append(muted or _is_about_offer(passage.text))
    return verdicts


def leads_in(text: str) -> bool:
    """Whether text names nothing, as what stands around a skill's name may: "Knowledge of", "You will"."""
    return all(word in _OF_A_HEADING for word in _WORD.findall(_ASKING.sub(" ", text).lower()))


def _opens_list(heading: str) -> bool:
    """Whether a heading says only that what is asked for comes below, and names nothing itself."""
    return bool(_ASKING.search(heading)) and (heading.endswith(":") or leads_in(heading))


def _is_about_offer(text: str) -> bool:
    if _MAIL.search(text):
        return True
    if _LINK.search(text) and (_ABOUT_LINK.search(text) or len(_WORD.findall(_LINK.sub(" ", text))) < 3):
        return True
    return bool(_NOT_A_REQUIREMENT.search(text) or (_PAY.search(text) and not _WORK_WITH_PAY.search(text)))


def _is_heading(passage: Passage, text: str, line: int) -> bool:
    """A short line of its own, which starts at `line`, ending in a colon or in no mark at all, and not a bullet."""
    if len(passage.text.split()) > 7 or passage.text[-1] in ".,;!" or ": " in passage.text:
        return False
    before = text[line : passage.start]
    after = text[passage.end : passage.end + 200].partition("\n")[0]
    if _BULLET.match(before):
        return False
    return not before.strip(_AROUND_HEADING) and not after.strip(_AROUND_HEADING + ":")
