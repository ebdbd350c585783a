"""Folders as the stages leave them, from the records of card_records: a tiny model, its dataset, ESCO, results."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.contract import sha256_of_file, sha256_of_lines, write_atomically
from dataset_builder.dataset_card import render_card
from dataset_builder.schema import DatasetFile, fold_of, pairs_features, skills_features
from tests.card_records import OTHER_RESULTS, RELEASE, VERSION, WORDS, manifest, own_results, training_record
from training.run_record import DatasetSource, TrainingRecord

# The last one is for validation.
SENTENCES = [f"You will {skill.label}, {n}." for n, skill in enumerate([*RELEASE.skills, RELEASE.skills[0]])]
ROWS_SHA256 = sha256_of_lines([f"{text}\t{one.label}" for text, one in zip(SENTENCES[:3], RELEASE.skills, strict=True)])


def write_esco(folder: Path) -> Path:
    """RELEASE as ESCO's CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f'{s.uri},{s.label},"{chr(10).join(s.alternative_labels)}","",{s.skill_type}' for s in RELEASE.skills]
    head = "conceptUri,preferredLabel,altLabels,description,skillType"
    (folder / "skills_en.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    links = [f"{child},{parent}" for child, parents in RELEASE.broader.items() for parent in parents]
    (folder / "broaderRelationsSkillPillar.csv").write_text("\n".join(["conceptUri,broaderUri", *links]) + "\n")
    groups = [f"{uri},{label}" for uri, label in RELEASE.group_labels.items()]
    (folder / "skillGroups_en.csv").write_text("\n".join(["conceptUri,preferredLabel", *groups]) + "\n")
    return folder


def write_tiny_model(folder: Path) -> Path:
    """A SentenceTransformer folder: BERT of 2 layers, 32 dimensions, seeded weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters[1:],
        *(f"##{c}" for c in letters),
        ",",
        ".",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text("\n".join(tokens), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    base = folder.parent / "bert"
    BertModel(BertConfig(vocab_size=len(tokens), **sizes)).save_pretrained(base)
    BertTokenizerFast(str(vocabulary)).save_pretrained(base)
    SentenceTransformer(str(base), device="cpu").save(str(folder))
    return folder


def write_dataset(folder: Path, version: str = VERSION) -> Path:
    """A dataset folder of 4 pairs and 3 skills with its card, without pictures."""
    from datasets import Dataset

    skills = RELEASE.skills
    pairs = [
        {"sentence": sentence, "skill": s.label, "skill_uri": s.uri, "skills": [s.label],
         "style": "sentence", "family": "paper", "fold": fold_of(s.uri)}
        for sentence, s in zip(SENTENCES, [*skills, skills[0]], strict=True)
    ]  # fmt: skip
    labels = [
        {"uri": s.uri, "label": s.label, "alternative_labels": list(s.alternative_labels), "type": s.skill_type}
        for s in skills
    ]
    files = []
    for path, config, split, rows, features in (
        ("pairs/train.parquet", "pairs", "train", pairs[:3], pairs_features()),
        ("pairs/validation.parquet", "pairs", "validation", pairs[3:], pairs_features()),
        ("skills/skills.parquet", "skills", "train", labels, skills_features()),
    ):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(str(target))
        size, sha = target.stat().st_size, sha256_of_file(target)
        files.append(DatasetFile(path=path, config=config, split=split, rows=len(rows), bytes=size, sha256=sha))
    made = manifest(files, version=version)
    write_atomically(folder / "README.md", render_card(made))
    made.save(folder)
    return folder


def write_trained_model(folder: Path, version: str = VERSION) -> Path:
    """A tiny model with its training record, as training leaves it."""
    write_tiny_model(folder)
    dataset = DatasetSource(id=version, revision=None, version=version, sha256=ROWS_SHA256)
    weights_sha256 = sha256_of_file(folder / "model.safetensors")
    training_record(weights_sha256, version=version, dataset=dataset).save(folder)
    return folder


def retrain(root: Path, **changes: object) -> None:
    """Change fields of the training record under `root`."""
    TrainingRecord.load(root / "model").model_copy(update=changes).save(root / "model")


def card_command(root: Path) -> list[str]:
    """Arguments of model_card.build for what `write_everything` writes."""
    files = [str(root / name) for name in ("own.json", "other.json")]
    data, esco = str(root / "data"), str(root / "v1.1.0")
    return [str(root / "model"), "--results", *files, "--dataset", data, "--esco", esco]


def write_everything(root: Path, version: str = VERSION) -> Path:
    """Model, results, dataset and ESCO under `root`, and then the model's card and label index."""
    from model_card.build import main

    model = write_trained_model(root / "model", version)
    own_results(model).save(root / "own.json")
    OTHER_RESULTS.save(root / "other.json")
    write_dataset(root / "data", version)
    write_esco(root / "v1.1.0")
    main(card_command(root))
    return root
