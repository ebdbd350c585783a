"""A seeded two-layer encoder on disk, and a small paper-shaped dataset: what training's tests train."""

import csv
import string
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from dataset_builder.esco import EscoRelease, Skill

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["we", "need", "you", "skill", "the", "and", "to", "in", "team"]
THINGS = ["bread", "steel", "code", "law", "horses", "tax", "music", "soil", "glass", "wood", "data", "ships"]
ACTIONS = ["bake", "weld", "write", "teach", "ride", "audit", "play", "till", "blow", "carve", "model", "sail"]


def write_tiny_encoder(folder: Path, dropout: float = 0.0, seed: int = 0) -> Path:
    """Write a BERT of 2 layers and 32 dimensions; SentenceTransformer gives it mean pooling."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = SPECIAL + WORDS + THINGS + ACTIONS + letters + ["##" + letter for letter in letters]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    torch.manual_seed(seed)
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def tiny_labels() -> list[str]:
    """24 labels: each action with its thing, and with the next one."""
    pairs = [(action, THINGS[(place + shift) % 12]) for shift in (0, 1) for place, action in enumerate(ACTIONS)]
    return [f"{action} {thing}" for action, thing in pairs]


def tiny_esco() -> EscoRelease:
    """A release of the tiny labels, each with a description and two alternative labels, under two groups."""
    skills = tuple(
        Skill(
            uri=f"http://example.org/skill/{number}",
            label=label,
            alternative_labels=(f"to {label}", f"{label} in the team"),
            description=f"The skill to {label} and to teach it.",
        )
        for number, label in enumerate(tiny_labels())
    )
    broader = {skill.uri: (f"http://example.org/group/{number // 12}",) for number, skill in enumerate(skills)}
    return EscoRelease(version="0.0.1", language="en", skills=skills, broader=broader)


def write_tiny_dataset(path: Path, sentences_per_skill: int = 4) -> Path:
    """Write a CSV of the paper's shape: columns sentence and skill."""
    forms = ["We need you to {}.", "You {} in the team.", "The team: {} and more!", "To {}, we need skill."]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sentence", "skill"])
        for label in tiny_labels():
            rows.writerows([form.format(label), label] for form in forms[:sentences_per_skill])
    return path


def write_tiny_benchmark(folder: Path) -> Path:
    """Write tiny_validation.csv and tiny_test.csv into a folder; they share one sentence."""
    folder.mkdir(exist_ok=True)
    rows = {
        "tiny_validation.csv": [
            ("Please bake bread at night", "bake bread"),
            ("Please bake bread at night", "carve wood"),
            ("Weld our steel", "weld steel"),
            ("Shared by both: audit tax", "audit tax"),
        ],
        "tiny_test.csv": [("Shared by both: audit tax", "audit tax"), ("Sail ships at dawn", "sail ships")],
    }
    for name, content in rows.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("sentence", "label"), *content])
    return folder
