import dataclasses

import numpy as np
import pytest

from dataset_builder.contract import StageError
from tests.tiny_encoder import tiny_esco
from training.label_space import label_space_of_esco
from training.neighbours import HardNegatives, linked_skills, merged, near_skills, nearest_skills, siblings

ESCO = tiny_esco()
LABELS = label_space_of_esco(ESCO)
# Angles 0, 10, 20 and 90 degrees: cosines to the first 1, 0.985, 0.940, 0.
FAN = np.array([[np.cos(angle), np.sin(angle)] for angle in np.radians([0, 10, 20, 90])], dtype=np.float32)


def linked_esco():
    uris = [skill.uri for skill in ESCO.skills]
    return dataclasses.replace(
        ESCO, broader={**ESCO.broader, uris[1]: (uris[0], *ESCO.broader[uris[1]])}, related={uris[3]: (uris[2],)}
    )


def test_links_go_both_ways():
    assert linked_skills(linked_esco(), LABELS) == {1: (0,), 0: (1,), 3: (2,), 2: (3,)}


def test_siblings_leave_out_what_is_linked():
    """Skills 0 and 1 share a group, but 1 stands below 0."""
    found = siblings(linked_esco(), LABELS)
    assert 1 not in found[0]
    assert 0 not in found[1]
    assert 2 in found[0]


def test_near_skills_are_above_the_threshold():
    """10 degrees apart is 0.985, 20 is 0.940."""
    assert near_skills(FAN, 0.98) == {0: (1,), 1: (0, 2), 2: (1,)}
    assert near_skills(FAN, 0.999) == {}


def test_nearest_skills_are_in_order_and_can_skip():
    assert nearest_skills(FAN, 2)[0] == (1, 2)
    assert nearest_skills(FAN, 1, skip=1)[0] == (2,)
    assert nearest_skills(FAN, 10)[3] == (2, 1, 0)


def test_links_add_up():
    assert merged({1: (2,)}, {1: (3, 2), 4: (1,)}) == {1: (2, 3), 4: (1,)}


def test_some_skills_are_nobody_s_negatives():
    """Of skills 0 to 3, 1 is held out: the two negatives of 0 are always 2 and 3, one drawn and one to fill up."""
    draw = HardNegatives({0: (1, 2)}, {}, 2, skills=4, seed=1, never={1})
    assert all(sorted(draw(epoch, 0, 0)) == [2, 3] for epoch in range(20))
    with pytest.raises(StageError, match="cannot be drawn from 4 skills"):
        HardNegatives({0: (1, 2)}, {}, 3, skills=4, seed=1, never={1})


def test_hard_negatives_are_seeded_and_new_in_every_epoch():
    draw = HardNegatives({0: tuple(range(1, 20))}, {}, 3, skills=24, seed=1)
    first = draw(0, 5, 0)
    assert len(set(first)) == 3
    assert first == draw(0, 5, 0)
    assert first != draw(1, 5, 0)
    assert 0 not in first


def test_hard_negatives_leave_out_what_means_the_same_and_fill_up():
    """Of the pool 1, 2, 3 only 3 may be drawn; the other two come from anywhere but the skill and what is excluded."""
    draw = HardNegatives({0: (1, 2, 3)}, {0: (1, 2)}, 3, skills=6, seed=1)
    for position in range(20):
        found = draw(0, position, 0)
        assert 3 in found
        assert set(found) == {3, 4, 5}


def test_what_a_text_asks_for_is_never_its_hard_negative():
    """Skills 0 to 4: of the pool 1, 2 the text asks for 1, so 2 is drawn, and 3 or 4 fills up, not 1.

    Where 3 and 4 are excluded, better one of them than what is asked for; where all are asked for, there is none.
    """
    draw = HardNegatives({0: (1, 2)}, {}, 2, skills=5, seed=1)
    crowded = HardNegatives({0: (1, 2)}, {0: (3, 4)}, 2, skills=5, seed=1)
    for position in range(20):
        for one in (draw, crowded):
            first, second = one(0, position, 0, (1,))
            assert first == 2
            assert second in (3, 4)
    with pytest.raises(StageError, match="2 hard negatives cannot be drawn for a text that asks for 4"):
        draw(0, 0, 0, (1, 2, 3))


def test_hard_negatives_that_cannot_be():
    with pytest.raises(StageError, match="no skill has a hard negative"):
        HardNegatives({}, {}, 1, 10, 1)
    with pytest.raises(StageError, match="cannot be drawn from 2 skills"):
        HardNegatives({0: (1,)}, {}, 2, 2, 1)
