import pytest

from dataset_builder.contract import StageError
from space import report

REJECTION = {
    "weights_sha256": "a",
    "validation": {"threshold": 0.7, "precision": 0.75, "recall": 0.25},
    "dev": {
        "all": {
            "gate": {"sentences": 1000, "with_skill": 300, "auroc": 0.914, "false_positives_at_95_recall": 0.366},
            "nearest_skill_cosine": {
                "sentences": 1000, "with_skill": 300, "auroc": 0.5, "false_positives_at_95_recall": 0.9,
            },
        }
    },
    "curve": {"gate": [[0.0, 0.0], [0.1, 0.5], [1.0, 1.0]], "nearest_skill_cosine": [[0.0, 0.0], [1.0, 1.0]]},
    "whole_system_on_dev": {
        "sentences_with_skill_that_give_some": 0.325, "sentences_without_skill_that_give_some": 0.05,
    },
}  # fmt: skip
ADS = {
    "weights_sha256": "a",
    "threshold": None,
    "fusion": {
        "both": {
            "ads": 20, "skills_found_an_ad": 4.25, "wrong_an_ad": 1.0, "wrong_share": 0.25, "asked_for_and_found": 0.2,
            "shown_by_no_skill_passages_an_ad": 0.15,
        }
    }
}  # fmt: skip
EVIDENCE = {
    "weights_sha256": "a",
    "evidence": {"in use": {"precision": 0.5, "recall": 0.8, "f1": 0.615, "touches": 0.9, "share_of_sentence": 0.1}},
}

PARITY = {
    "reference": "1.0.0",
    "backends": [
        {
            "backend": "onnx-int8", "bytes": 30_191_792, "queries": 121, "same_top_10": 0.9587, "shared_of_10": 0.996,
            "same_best": 0.992, "rp_at_5": 0.6972, "rp_at_5_of_reference": 0.7055,
        }
    ],
}  # fmt: skip


def test_the_threshold_for_names_is_told_where_there_is_one():
    with_names = {**REJECTION, "names": {"threshold": 0.58, "agreement": 0.2}}
    assert "encoded by their names, have to reach 0.58." in report.report(with_names, ADS, EVIDENCE, PARITY)


def test_every_number_is_from_the_records():
    lines = report.report(REJECTION, ADS, EVIDENCE, PARITY).splitlines()
    assert "| the gate | 1,000 all | 300 | 91.4 | 36.6% |" in lines
    assert "| cosine of the nearest skill | 1,000 all | 300 | 50.0 | 90.0% |" in lines
    assert any(
        "(0.7) the whole extractor finds a skill in 32.5% of those with one, and in 5.0%" in line for line in lines
    )
    assert not any("by their names" in line for line in lines)
    assert any("on validation, precision is 75.0% at a recall of 25.0%:" in line for line in lines)
    assert "| both | 4.25 | 1.00 | 25.0% | 20.0% | 0.15 |" in lines
    assert any("27%" in line and "12%" in line and "other ads" in line for line in lines)
    assert "| onnx-int8 | 30.2 | 121 | 95.9% | 99.6% | 99.2% | 69.72 | 70.55 |" in lines
    assert "| in use | 50.0% | 80.0% | 61.5% | 90.0% | 10.0% |" in lines


def test_what_a_judge_said_is_told_where_one_did():
    of_found = {"skills": 80, "right": 60, "right_low": 0.4, "right_high": 0.9}
    higher = {"threshold": 0.9, "skills_an_ad": 2.0, "skills": 40, "right": 38, "right_low": 0.8, "right_high": 0.99}
    said = {
        "judge": "A reader",
        "found": of_found,
        "swapped": {"skills": 7, "right": 1, "right_low": 0.0, "right_high": 0.5},
        "by_threshold": [higher],
    }
    text = report.report(REJECTION, {**ADS, "judged": said}, EVIDENCE, PARITY)
    assert "A reader, who saw the ads and not the lists, read the 80 skills found by both" in text
    assert "7 that were found in other ads, of which it called 1 right" in text
    assert "| 0.7 (in use) | 4.00 | 25.0% [10.0, 60.0] |" in text
    assert "| 0.9 | 2.00 | 5.0% [1.0, 20.0] |" in text
    assert "| 0.8 (given) | 4.00 |" in report.report(
        REJECTION, {**ADS, "threshold": 0.8, "judged": said}, EVIDENCE, PARITY
    )
    assert "A reader" not in report.report(REJECTION, ADS, EVIDENCE, PARITY)


def test_records_of_different_weights_or_a_threshold_by_hand_are_told():
    with pytest.raises(StageError, match="of different weights"):
        report.report(REJECTION, {**ADS, "weights_sha256": "b"}, EVIDENCE, PARITY)
    for nothing in ({"weights_sha256": ""}, {"weights_sha256": None}):
        with pytest.raises(StageError, match=r"no weights are named in ads\.json, evidence\.json"):
            report.report(REJECTION, {**ADS, **nothing}, {**EVIDENCE, **nothing}, PARITY)
    assert "On 20 whole ads, with a threshold of 0.5;" in report.report(
        REJECTION, {**ADS, "threshold": 0.5}, EVIDENCE, PARITY
    )


def test_the_curve_is_drawn_the_same_each_time(tmp_path):
    light, dark = report.draw_rejection(REJECTION["curve"], tmp_path)
    first = light.read_bytes()
    assert first.startswith(b"<?xml")
    assert light.read_bytes() != dark.read_bytes()
    report.draw_rejection(REJECTION["curve"], tmp_path)
    assert light.read_bytes() == first


def test_a_measurement_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(StageError, match=r"rejection\.json cannot be read"):
        report.read_measurements(tmp_path)
