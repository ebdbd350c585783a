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

_OFFER_HEADING = re.compile(
    r"""(?ix) ^\W* (?:
      (?:what|why|how) \s+ (?: we | you(?:['’]?ll|\s+will)?\s+get | us\b | join\b | work\b )
        (?! \s+ (?:are\s+looking|look|need|expect|want|require|seek) ) .*
    | (?:(?:our|the|your|employee|company|key|additional|other|great|main)\s+)?
        (?:benefits?|perks?|offer|compensation|salary|pay|remuneration|rewards?|package)\b .*
    | (?:we\s+offer|what['’]?s\s+in\s+it\s+for\s+you|in\s+return|working\s+hours|hours|location|address) .*
    | (?:contact(?:\s+us)?|how\s+to\s+apply) .*
    | (?:about|who) \s+ (?:us|we\s+are|our|the\s+(?:company|employer|organi[sz]ation)) .*
    | company\s+(?:description|profile|overview) .*
    | (?:equal|diversity|inclusion|our\s+(?:commitment|values|culture|mission)|privacy|disclaimer|eeo|legal) .*
    )$"""
)
_ASKING_HEADING = re.compile(
    r"""(?ix) \b (?: requirements? | qualifications? | skills? | responsibilit(?:y|ies) | duties | tasks | experience
    | competenc(?:e|es|ies) | profile | looking\s+for | role | job | position | essential | desirable | must | education
    | knowledge | you(?:['’]?ll)?\s+(?:do|bring|have|need|are|will|offer) | your\s+(?:day|work|mission) ) \b"""
)
# "Experience with SQL" on a line of its own is what is asked for, and no heading of a list.
_ASKS_ITSELF = re.compile(r"(?i)\b(?:experience|knowledge|skills?|education|competence)\s+(?:with|of|in)\b.*[^:]$")
_BULLET = re.compile(r"^\s*\*\s+$")
_AROUND_HEADING = " *#_\t\r\u2002"
_NOT_A_REQUIREMENT = re.compile(
    r"""(?ix)
      equal[-\s]opportunit | regardless\s+of | without\s+regard\s+to | \brace\b.*\breligion\b
    | \bsexual\s+orientation\b | protected\s+veteran | reasonable\s+(?:accommodation|adjustment)s?
    | \b401\s?\(?k\)? | \bpaid\s+(?:time\s+off|holiday|leave|vacation) | \bannual\s+leave\b
    | \b(?:health|dental|life|medical|vision)\s+insurance\b | \bpension\b | \bper\s+(?:annum|hour|year|month)\b
    | \bcompetitive\s+salary | [$€£]\s?\d | \d\s?(?:k\b|€|eur\b|usd\b|gbp\b) | \bbonus(?:es)?\b
    | \bprivacy\s+(?:policy|notice)\b | \bapply\s+(?:now|today|online|by|via|here)\b
    | \bsend\s+(?:us\s+)?your\s+(?:cv|resume|application) | https?:// | \bwww\. | \S@\S+\.\w
    | \bdays?\s+(?:of\s+)?(?:holiday|vacation|annual\s+leave)\b | \bfree\s+(?:lunch|coffee|parking|fruit|drinks)
    | \bfounded\s+in\b | \bheadquarter | \boffices?\s+in\b
    """
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
    under_offer = False
    verdicts = []
    line = end_of_last = 0
    for passage in passages:
        opens_list = False
        line = max(line, text.rfind("\n", line, passage.start) + 1)
        # On a line that holds more than the passage, only what lies between is looked at.
        if end_of_last <= line and _is_heading(passage, text, line):
            under_offer = bool(_OFFER_HEADING.match(passage.text))
            opens_list = bool(_ASKING_HEADING.search(passage.text)) and not _ASKS_ITSELF.search(passage.text)
        end_of_last = passage.end
        # "Pay: 17 an hour" is a line about the offer, and says nothing of the lines below it.
        field, colon, content = passage.text.partition(": ")
        about_offer = bool(colon and content and len(field.split()) <= 5 and _OFFER_HEADING.match(field))
        muted = under_offer or opens_list or about_offer
        verdicts.append(muted or bool(_NOT_A_REQUIREMENT.search(passage.text)))
    return verdicts


def _is_heading(passage: Passage, text: str, line: int) -> bool:
    """A short line of its own, which starts at `line`, ending in a colon or in no mark at all, and not a bullet."""
    if len(passage.text.split()) > 7 or passage.text[-1] in ".,;!" or ": " in passage.text:
        return False
    before = text[line : passage.start]
    after = text[passage.end : passage.end + 200].partition("\n")[0]
    if _BULLET.match(before):
        return False
    return not before.strip(_AROUND_HEADING) and not after.strip(_AROUND_HEADING + ":")
