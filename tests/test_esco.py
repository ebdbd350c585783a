"""Reading ESCO: zips, folders and languages, and hand-made releases that are wrong in one way each."""

import csv
import io
import zipfile
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import read_esco

SAMPLE = "dataset_builder/sample_esco"
HEADER = "conceptUri,preferredLabel,altLabels,hiddenLabels,description,skillType,reuseLevel,status"
URI = "http://example.org/skill/"


def skill_row(number: int, label: str = "", **cells: str) -> str:
    """One CSV row under HEADER."""
    values = {
        "conceptUri": f"{URI}{number}",
        "preferredLabel": label or f"skill {number}",
        "altLabels": "",
        "hiddenLabels": "",
        "description": "What it is.",
        "skillType": "knowledge",
        "reuseLevel": "cross-sector",
        "status": "released",
    } | cells
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values[column] for column in HEADER.split(","))
    return text.getvalue().removesuffix("\n")


def write_skills(folder: Path, *rows: str, header: str = HEADER, name: str = "skills_en.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def zip_of(folder: Path, target: Path, inner: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.glob("*.csv"):
            archive.write(file, f"{inner}{file.name}")
    return target


class TestCells:
    def test_bom_and_carriage_returns(self, tmp_path: Path):
        text = "\r\n".join([HEADER, skill_row(1, "Überblick behalten", altLabels="a\r\nb"), ""])
        (tmp_path / "skills_en.csv").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
        skill = read_esco(tmp_path).skills[0]
        assert (skill.label, skill.alternative_labels) == ("Überblick behalten", ("a", "b"))

    def test_multi_line_labels(self, tmp_path: Path):
        """Five lines: one blank, one repeated, one equal to the preferred label; two are left, in file order."""
        row = skill_row(1, "bake bread ", altLabels="baking\n\nbake bread\n make loaves \nbaking", hiddenLabels="bakin")
        skill = read_esco(write_skills(tmp_path, row)).skills[0]
        assert skill.label == "bake bread"
        assert skill.alternative_labels == ("baking", "make loaves")
        assert skill.hidden_labels == ("bakin",)

    def test_no_break_space_around_a_label_is_stripped(self, tmp_path: Path):
        assert read_esco(write_skills(tmp_path, skill_row(1, "bake bread\xa0"))).labels == ["bake bread"]

    def test_description_becomes_one_line(self, tmp_path: Path):
        row = skill_row(1, description="First line.\nSecond\tline. ")
        assert read_esco(write_skills(tmp_path, row)).skills[0].description == "First line. Second line."

    def test_what_is_repaired_is_counted(self, tmp_path: Path):
        """Of four rows one is obsolete; of the rest one has spaces, one a comma, one no description, two a label."""
        release = read_esco(
            write_skills(
                tmp_path,
                skill_row(1, " bake bread"),
                skill_row(2, "bake bread", description=" "),
                skill_row(3, "cut, wash"),
                skill_row(4, status="obsolete"),
            )
        )
        assert release.labels == ["bake bread", "bake bread", "cut, wash"]
        assert release.notes == {
            "obsolete concepts left out": 1,
            "labels with outer whitespace stripped": 1,
            "labels with commas": 1,
            "skills without description": 1,
            "preferred labels shared by several skills": 2,
        }

    def test_type_and_status_may_be_empty(self, tmp_path: Path):
        """As the type of six skills is in ESCO 1.1.1."""
        skill = read_esco(write_skills(tmp_path, skill_row(1, skillType="", status=" ", reuseLevel=""))).skills[0]
        assert (skill.skill_type, skill.reuse_level) == ("", "")

    def test_optional_columns_may_be_missing(self, tmp_path: Path):
        header = "conceptUri,preferredLabel,altLabels,description,skillType"
        folder = write_skills(tmp_path, f"{URI}1,bake bread,,,skill/competence", header=header)
        skill = read_esco(folder).skills[0]
        assert (skill.skill_type, skill.reuse_level, skill.hidden_labels) == ("competence", "", ())


class TestRefusals:
    """Each message names the thing that is wrong."""

    def test_nothing_there(self, tmp_path: Path):
        with pytest.raises(StageError, match=r"no-such-place does not exist. Give an ESCO zip"):
            read_esco(tmp_path / "no-such-place")

    def test_empty_folder(self, tmp_path: Path):
        with pytest.raises(StageError, match=r"holds no skills_en.csv. Is it an ESCO release\?"):
            read_esco(tmp_path)

    def test_not_a_zip(self, tmp_path: Path):
        file = tmp_path / "esco.zip"
        file.write_text("<html>Please log in</html>", encoding="utf-8")
        with pytest.raises(StageError, match=r"esco.zip is not a zip file"):
            read_esco(file)

    def test_zip_that_is_not_esco(self, tmp_path: Path):
        write_skills(tmp_path / "other", "1,2", header="a,b", name="numbers.csv")
        with pytest.raises(StageError, match=r"other.zip holds no skills_en.csv. Is it an ESCO release"):
            read_esco(zip_of(tmp_path / "other", tmp_path / "other.zip"))

    def test_damaged_zip(self, tmp_path: Path):
        """One letter of a stored file differs, so its checksum does not fit."""
        path = zip_of(write_skills(tmp_path / "esco", skill_row(1, "bake bread")), tmp_path / "esco.zip")
        path.write_bytes(path.read_bytes().replace(b"bake bread", b"bake breed"))
        with pytest.raises(StageError, match=r"esco.zip:skills_en.csv is damaged \(Bad CRC-32"):
            read_esco(path)

    @pytest.mark.parametrize(
        ("later", "message"),
        [
            ("skill 4", r"skills_en.csv line 3: a quotation mark is never closed \(read to line 5\)"),
            ('"skill" 4', r"skills_en.csv line 3: ',' expected after '\"' \(read to line 5\)"),
        ],
    )
    def test_an_open_quote_swallows_no_skills(self, tmp_path: Path, later: str, message: str):
        """Header, then four skills in lines 2 to 5; the label in line 3 has its first quote alone."""
        header = "conceptUri,preferredLabel,altLabels,description,skillType"
        labels = ("skill 1", '"skill 2', "skill 3", later)
        rows = [f"{URI}{number},{label},,,knowledge" for number, label in enumerate(labels, 1)]
        with pytest.raises(StageError, match=message):
            read_esco(write_skills(tmp_path, *rows, header=header))

    def test_wrong_language_names_those_there_are(self, tmp_path: Path):
        write_skills(tmp_path, skill_row(1), name="skills_de.csv")
        write_skills(tmp_path, skill_row(1), name="skills_fr.csv")
        with pytest.raises(StageError, match=r"holds no skills_en.csv. It has the languages de, fr"):
            read_esco(tmp_path)

    @pytest.mark.parametrize("column", ["conceptUri", "preferredLabel", "altLabels", "description", "skillType"])
    def test_missing_column(self, tmp_path: Path, column: str):
        header = HEADER.replace(column, "other")
        with pytest.raises(StageError, match=rf"skills_en.csv has no column '{column}' \(found: "):
            read_esco(write_skills(tmp_path, skill_row(1), header=header))

    def test_missing_column_message_stays_short(self, tmp_path: Path):
        with pytest.raises(StageError) as caught:
            read_esco(write_skills(tmp_path, header=",".join(f"column {number}" for number in range(1000))))
        assert len(str(caught.value)) < 600

    def test_empty_file(self, tmp_path: Path):
        (tmp_path / "skills_en.csv").write_text("", encoding="utf-8")
        with pytest.raises(StageError, match=r"no column 'conceptUri' \(found: none\)"):
            read_esco(tmp_path)

    def test_header_alone(self, tmp_path: Path):
        with pytest.raises(StageError, match=r"skills_en.csv holds no skill$"):
            read_esco(write_skills(tmp_path))

    def test_short_row_names_file_line_and_column(self, tmp_path: Path):
        folder = write_skills(tmp_path, skill_row(1), f"{URI}2,bake bread")
        with pytest.raises(StageError, match=r"skills_en.csv line 3: the row ends before column 'altLabels'"):
            read_esco(folder)

    def test_row_that_ends_before_a_column_nobody_must_have(self, tmp_path: Path):
        """Cut off before its status, an obsolete skill would pass as released."""
        folder = write_skills(tmp_path, skill_row(1).removesuffix(",released"))
        with pytest.raises(StageError, match=r"skills_en.csv line 2: the row ends before column 'status'"):
            read_esco(folder)

    def test_values_that_are_unknown_are_counted(self, tmp_path: Path):
        """A coming release may have a new one; "Obsolete" is an old one."""
        rows = (
            skill_row(1),
            skill_row(2, skillType="attitude"),
            skill_row(3, status="withdrawn"),
            skill_row(4, status="Obsolete"),
        )
        release = read_esco(write_skills(tmp_path, *rows))
        assert [skill.skill_type for skill in release.skills] == ["knowledge", "attitude", "knowledge"]
        assert release.notes["values of skillType that are unknown here"] == 1
        assert release.notes["values of status that are unknown here"] == 1
        assert release.notes["obsolete concepts left out"] == 1

    def test_nothing_is_said_of_values_that_are_known(self, tmp_path: Path):
        assert not [note for note in read_esco(write_skills(tmp_path, skill_row(1))).notes if "unknown here" in note]

    def test_extra_cells(self, tmp_path: Path):
        found = (
            r"skills_en.csv line 2: more cells than columns: 9 cells, 8 columns, the last is 'status'. Is a quote mis"
        )
        with pytest.raises(StageError, match=found):
            read_esco(write_skills(tmp_path, skill_row(1) + ",one more"))

    def test_line_number_counts_lines_of_multi_line_cells(self, tmp_path: Path):
        """Line 1 is the header, the first row takes lines 2 to 4, the second is line 5."""
        folder = write_skills(tmp_path, skill_row(1, altLabels="a\nb\nc"), skill_row(1))
        with pytest.raises(StageError, match=rf"skills_en.csv line 5: column 'conceptUri' repeats {URI}1"):
            read_esco(folder)

    @pytest.mark.parametrize("column", ["conceptUri", "preferredLabel"])
    def test_empty_label_or_uri(self, tmp_path: Path, column: str):
        with pytest.raises(StageError, match=rf"skills_en.csv line 2: column '{column}' is empty"):
            read_esco(write_skills(tmp_path, skill_row(1, **{column: " "})))

    def test_only_obsolete_skills(self, tmp_path: Path):
        with pytest.raises(StageError, match=r"holds no skill$"):
            read_esco(write_skills(tmp_path, skill_row(1, status="obsolete")))

    def test_other_encoding(self, tmp_path: Path):
        text = "\n".join([HEADER, skill_row(1, "Brötchen backen")])
        (tmp_path / "skills_en.csv").write_bytes(text.encode("latin-1"))
        with pytest.raises(StageError, match=r"skills_en.csv line 2 is not UTF-8 text"):
            read_esco(tmp_path)

    def test_cell_beyond_what_csv_reads(self, tmp_path: Path):
        """A quote that is never closed swallows the rest of the file: over 131,072 characters."""
        row = skill_row(1).replace("What it is.", '"What it is')
        with pytest.raises(StageError, match=r"skills_en.csv line \d+: field larger than field limit"):
            read_esco(write_skills(tmp_path, row, "x" * 140_000))

    def test_wrong_relations(self, tmp_path: Path):
        folder = write_skills(tmp_path, skill_row(1))
        write_skills(folder, "a,b", header="conceptUri,parent", name="broaderRelationsSkillPillar.csv")
        with pytest.raises(StageError, match=r"broaderRelationsSkillPillar.csv has no column 'broaderUri'"):
            read_esco(folder)
