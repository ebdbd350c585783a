"""Datasets in other languages than English: what is asked for, and what counts as foreign."""

import pytest

from dataset_builder import build
from dataset_builder.languages import NAMES, is_foreign, name_of
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubBehaviour, StubServer

ENGLISH = "You plan the yearly costs of our three clinics and explain differences to the board."
LINES = {
    "ar": "تخطط للتكاليف السنوية لعياداتنا الثلاث وتشرح الفروق للإدارة.",
    "bg": "Планирате годишните разходи на нашите три клиники.",
    "cs": "Plánujete roční náklady našich tří klinik a vysvětlujete rozdíly vedení.",
    "da": "Du planlægger de årlige omkostninger for vores tre klinikker.",
    "de": "Sie planen jedes Jahr die Kosten unserer drei Kliniken und erklären Abweichungen.",
    "el": "Σχεδιάζετε τα ετήσια έξοδα των τριών κλινικών μας.",
    "es": "Planifica los costes anuales de nuestras tres clínicas.",
    "et": "Plaanite meie kolme kliiniku aastakulusid.",
    "fi": "Suunnittelet kolmen klinikkamme vuosittaiset kustannukset ja selität poikkeamat johdolle.",
    "fr": "Vous planifiez les coûts annuels de nos trois cliniques.",
    "ga": "Déanann tú costais bhliantúla ár dtrí chlinic a phleanáil.",
    "hr": "Planirate godišnje troškove naših triju klinika i objašnjavate razlike upravi.",
    "hu": "Megtervezi három klinikánk éves költségeit, és elmagyarázza az eltéréseket a vezetőségnek.",
    "is": "Þú skipuleggur árlegan kostnað þriggja heilsugæslustöðva okkar.",
    "it": "Pianifica i costi annuali delle nostre tre cliniche.",
    "lt": "Planuojate mūsų trijų klinikų metines išlaidas.",
    "lv": "Jūs plānojat mūsu trīs klīniku gada izmaksas.",
    "mt": "Tippjana l-ispejjeż annwali tat-tliet kliniċi tagħna.",
    "nl": "Je plant de jaarlijkse kosten van onze drie klinieken.",
    "no": "Du planlegger de årlige kostnadene for våre tre klinikker og forklarer avvik til styret.",
    "pl": "Planujesz roczne koszty naszych trzech klinik.",
    "pt": "Planeia os custos anuais das nossas três clínicas.",
    "ro": "Planificați costurile anuale ale celor trei clinici ale noastre.",
    "sk": "Plánujete ročné náklady našich troch kliník a vysvetľujete rozdiely vedeniu.",
    "sl": "Načrtujete letne stroške naših treh klinik.",
    "sv": "Du planerar de årliga kostnaderna för våra tre kliniker.",
    "uk": "Ви плануєте річні витрати наших трьох клінік.",
}


@pytest.mark.parametrize("language", sorted(LINES))
def test_a_line_is_never_foreign_in_its_own_language_and_english_is(language):
    assert not is_foreign(LINES[language], language)
    assert is_foreign(ENGLISH, language)


def test_every_language_of_esco_has_a_name():
    """ESCO comes in the 24 languages of the Union, Arabic, Icelandic, Norwegian and Ukrainian."""
    assert len(NAMES) == 28
    assert (name_of("el"), name_of("no")) == ("Greek", "Norwegian")


def test_a_german_dataset(tmp_path, capsys):
    """The stub answers with two German lines of four asked for, the same for each skill: two rows, none foreign."""
    (tmp_path / "berufe.csv").write_text("id,label\n1,Kosten planen\n2,Pferde pflegen\n", encoding="utf-8")
    given = ["--esco", tmp_path / "berufe.csv", "--language", "de", "--version", "0.1.0", "--out", tmp_path / "d"]
    with StubServer(StubBehaviour(fault_share=1.0, faults=("wrong language",))) as server:
        build.main([str(one) for one in [*given, "--base-url", server.url, "--model", "stub", "--asks-again", "0"]])
    assert "2 pairs for 1 of 2 skills" in capsys.readouterr().out
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.esco.language == "de"
    assert manifest.replies == {"fewer lines than asked": 2}
    assert manifest.sentences_rejected == {"duplicate": 2}
    assert all("Write the lines in German." in prompt.system for prompt in manifest.prompts)
    assert "language:\n- de\n" in (tmp_path / "d" / "README.md").read_text(encoding="utf-8")
