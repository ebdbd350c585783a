"""Where an ESCO release may lie: folder, zip, several of them, versions, and other languages."""

import zipfile
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from dataset_builder.esco import read_esco
from tests.test_esco import SAMPLE, URI, skill_row, write_skills, zip_of


class TestPlaces:
    def test_zip_and_folder_give_the_same(self, repo: Path, tmp_path: Path):
        sample = read_esco(repo / SAMPLE)
        release = read_esco(zip_of(repo / SAMPLE, tmp_path / "ESCO dataset - v1.1.0 - en.zip", inner="deep/er/"))
        assert release.skills == sample.skills
        assert release.occupations == sample.occupations
        assert release.broader == sample.broader
        assert list(release.file_sha256) == ["ESCO dataset - v1.1.0 - en.zip"]

    @pytest.mark.parametrize(
        ("name", "version"),
        [
            ("ESCO dataset - v1.1.0 - classification - en - csv", "1.1.0"),
            ("v1.2_en", "1.2"),
            ("esco-1.0.9", "1.0.9"),
            ("esco", "unknown"),
        ],
    )
    def test_version_from_the_name(self, tmp_path: Path, name: str, version: str):
        assert read_esco(write_skills(tmp_path / name, skill_row(1))).version == version

    def test_version_txt_wins_over_the_name(self, tmp_path: Path):
        folder = write_skills(tmp_path / "v1.1.0", skill_row(1))
        (folder / "version.txt").write_text("1.1.0 of our own\n", encoding="utf-8")
        assert read_esco(folder).version == "1.1.0 of our own"

    def test_empty_version_txt_is_no_version(self, tmp_path: Path):
        folder = write_skills(tmp_path / "v1.1.0", skill_row(1))
        (folder / "version.txt").write_text("\n", encoding="utf-8")
        assert read_esco(folder).version == "1.1.0"

    def test_classification_and_relations_apart(self, tmp_path: Path):
        """The portal may split a release over two zips: one occupation and its one essential skill meet again."""
        skills = write_skills(tmp_path / "classification", skill_row(1))
        write_skills(skills, "occ/1,baker", header="conceptUri,preferredLabel", name="occupations_en.csv")
        header = "occupationUri,relationType,skillType,skillUri"
        row = f"occ/1,essential,knowledge,{URI}1"
        relations = write_skills(tmp_path / "relations", row, header=header, name="occupationSkillRelations.csv")
        alone = read_esco(skills)
        assert [occupation.essential_skills for occupation in alone.occupations] == [()]
        both = read_esco([skills, zip_of(relations, tmp_path / "relations.zip")])
        assert [occupation.essential_skills for occupation in both.occupations] == [(f"{URI}1",)]
        assert set(both.file_sha256) == {"skills_en.csv", "occupations_en.csv", "relations.zip"}

    def test_first_source_wins(self, tmp_path: Path):
        first = write_skills(tmp_path / "a", skill_row(1, "bake bread"))
        second = write_skills(tmp_path / "b", skill_row(1, "bake cakes"), skill_row(2))
        assert read_esco([first, second]).labels == ["bake bread"]

    def test_places_of_two_releases_are_refused(self, tmp_path: Path):
        first = write_skills(tmp_path / "ESCO dataset - v1.1.1 - classification", skill_row(1))
        second = write_skills(tmp_path / "v1.1.0 relations", skill_row(1))
        with pytest.raises(StageError, match=r"different ESCO releases \(.*: 1\.1\.1, v1\.1\.0 relations: 1\.1\.0\)"):
            read_esco([first, second])
        other = write_skills(tmp_path / "relations", skill_row(1))
        assert read_esco([first, other]).version == "1.1.1"

    def test_a_place_with_two_releases_is_refused(self, tmp_path: Path):
        write_skills(tmp_path / "both" / "v1.0.0", skill_row(1))
        write_skills(tmp_path / "both" / "v1.1.0", skill_row(1), skill_row(2))
        with pytest.raises(StageError, match=r"two skills_en.csv: .*v1\.0\.0.*v1\.1\.0.*\. Give the folder of one"):
            read_esco(tmp_path / "both")
        zipped = zip_of(tmp_path / "both" / "v1.0.0", tmp_path / "both.zip", inner="v1.0.0/")
        with zipfile.ZipFile(zipped, "a") as archive:
            archive.write(tmp_path / "both" / "v1.1.0" / "skills_en.csv", "v1.1.0/skills_en.csv")
        with pytest.raises(StageError, match=r"v1\.0\.0/skills_en\.csv and v1\.1\.0/skills_en\.csv\. Give"):
            read_esco(zipped)
        assert read_esco([tmp_path / "both" / "v1.1.0", zipped]).labels == ["skill 1", "skill 2"]

    def test_relation_files_may_carry_the_language(self, tmp_path: Path):
        folder = write_skills(tmp_path / "v1.1.1", skill_row(1), skill_row(2))
        write_skills(
            folder, f"{URI}1,{URI}2", header="conceptUri,broaderUri", name="broaderRelationsSkillPillar_en.csv"
        )
        write_skills(
            folder,
            f"{URI}1,{URI}2",
            header="originalSkillUri,relatedSkillUri",
            name="skillSkillRelations_en.csv",
        )
        release = read_esco(folder)
        assert release.broader == {f"{URI}1": (f"{URI}2",)}
        assert release.related == {f"{URI}1": (f"{URI}2",)}

    @pytest.mark.parametrize(
        ("version", "language", "suffix", "named"),
        [
            ("1.0.9", "en", "", False),
            ("1.1.0", "fr", "", False),
            ("1.1.1", "en", "_en", True),
            ("1.2.0", "de", "_de", True),
            ("1.2.1", "uk", "_uk", True),
        ],
    )
    def test_the_shape_of_every_version(self, tmp_path: Path, version: str, language: str, suffix: str, named: bool):
        """Up to 1.1.0 relations have no language and no labels; from 1.1.1 on both, beside the classification."""
        folder = tmp_path / f"ESCO dataset - v{version} - classification - {language} - csv"
        write_skills(folder, skill_row(1), skill_row(2), name=f"skills_{language}.csv")
        occupations = "conceptType,conceptUri,iscoGroup,preferredLabel,altLabels,description,code"
        row = "Occupation,occ/1,2654,technical director,head,Directs.,2654.1"
        write_skills(folder, row, header=occupations, name=f"occupations_{language}.csv")
        groups = "conceptType,conceptUri,preferredLabel,altLabels,description,code"
        write_skills(folder, "SkillGroup,group/S1,working,,,S1", header=groups, name=f"skillGroups_{language}.csv")
        label = (lambda text: f",{text}") if named else (lambda text: "")
        write_skills(
            folder,
            f"occ/1{label('director')},essential,knowledge,{URI}1{label('skill 1')}",
            f"occ/1{label('director')},optional,skill/competence,{URI}2{label('skill 2')}",
            header=f"occupationUri{label('occupationLabel')},relationType,skillType,skillUri{label('skillLabel')}",
            name=f"occupationSkillRelations{suffix}.csv",
        )
        write_skills(
            folder,
            f"KnowledgeSkillCompetence,{URI}1{label('skill 1')},SkillGroup,group/S1{label('working')}",
            header=f"conceptType,conceptUri{label('conceptLabel')},broaderType,broaderUri{label('broaderLabel')}",
            name=f"broaderRelationsSkillPillar{suffix}.csv",
        )
        write_skills(
            folder,
            f"{URI}1,knowledge,optional,skill/competence,{URI}2",
            header="originalSkillUri,originalSkillType,relationType,relatedSkillType,relatedSkillUri",
            name=f"skillSkillRelations{suffix}.csv",
        )
        for place in (folder, zip_of(folder, tmp_path / f"{folder.name}.zip")):
            release = read_esco(place, language)
            assert (release.version, release.language) == (version, language)
            assert [(one.essential_skills, one.optional_skills) for one in release.occupations] == [
                ((f"{URI}1",), (f"{URI}2",))
            ]
            assert release.broader == {f"{URI}1": ("group/S1",)}
            assert release.related == {f"{URI}1": (f"{URI}2",)}
            assert release.group_labels == {"group/S1": "working"}

    def test_relations_in_the_language_asked_for_come_first(self, tmp_path: Path):
        """A folder with two languages side by side: the English file is damaged, and only the German one is read."""
        folder = write_skills(tmp_path / "v1.2.0", skill_row(1), name="skills_de.csv")
        write_skills(folder, skill_row(1), name="skills_en.csv")
        header = "conceptUri,broaderUri"
        write_skills(folder, "no", header="nothing", name="broaderRelationsSkillPillar_en.csv")
        write_skills(folder, f"{URI}1,group/1", header=header, name="broaderRelationsSkillPillar_de.csv")
        assert read_esco(folder, "de").broader == {f"{URI}1": ("group/1",)}

    def test_skills_alone_are_enough(self, tmp_path: Path):
        release = read_esco(write_skills(tmp_path, skill_row(1)))
        assert (release.occupations, release.broader, release.related, release.group_labels) == ((), {}, {}, {})

    def test_other_language(self, tmp_path: Path):
        folder = write_skills(tmp_path / "v1.1.0", skill_row(1, "Brot backen"), name="skills_de.csv")
        release = read_esco(folder, language="de")
        assert (release.language, release.labels) == ("de", ["Brot backen"])
