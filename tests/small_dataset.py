"""A dataset manifest with numbers that are easy to check, for tests."""

from dataset_builder.schema import (
    DatasetFile,
    DatasetManifest,
    EscoSource,
    LanguageModel,
    Outcomes,
    PromptText,
    TokenUse,
)


def small_manifest(files: list[DatasetFile], **changes) -> DatasetManifest:
    """A manifest of 100 sentences for 10 skills; `changes` replaces fields."""
    values = dict(
        schema_version=DatasetManifest.SCHEMA_VERSION,
        name="small",
        version="1.0.0",
        created_at="2026-01-01T00:00:00+00:00",
        code_version="abc",
        seed=13,
        esco=EscoSource(version="1.1.0", language="en", skills=10, occupations=0, file_sha256={}),
        prompts=[PromptText(family="styled", version="1.0 sheet 1", system="Write lines.", user="Skill: {skill}")],
        language_model=LanguageModel(model="tiny", base_url="http://x/v1", temperature=0.7, top_p=0.9, max_tokens=136),
        sentences_per_skill=10,
        skills=Outcomes(requested=10, accepted=10, rejected={}, failed={}),
        sentences_written=103,
        sentences_accepted=100,
        sentences_rejected={"too short": 3},
        replies={"as asked": 26},
        tokens=TokenUse(requests=26, prompt_tokens=5200, completion_tokens=1040, cost_usd=0.25),
        quality={
            "coverage": 1.0,
            "coverage_two": 0.9,
            "leakage": 0.05,
            "leakage_low": 0.02,
            "leakage_high": 0.11,
            "mean_words": 9.5,
            "sentences_per_skill": 10.0,
            "skills_per_sentence": 1.0,
            "distinct_trigrams": 0.8,
        },
        files=files,
        histograms={"words": {"8": 50, "11": 50}, "sentences_per_skill": {"10": 10}, "style": {"duty": 100}},
        rejected_examples={"too short": ["label 1: x | y"]},
    )
    return DatasetManifest(**{**values, **changes})
