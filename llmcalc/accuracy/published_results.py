"""What was measured of techniques elsewhere: quality kept, time won or lost. The words are in ``words/``."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import (
    CHEN_2016,
    DAO_2022,
    DETTMERS_2023,
    FRANTAR_2023,
    FRANTAR_ALISTARH_2023,
    MISHRA_2021,
    MURALIDHARAN_2024,
    SANH_2019,
    SREENIVAS_2024,
    Citation,
)


@dataclass(frozen=True)
class PublishedResult:
    """A result of ``technique``, a key of the page's sections or of its switches; ``id`` is a key of ``published``."""

    id: str
    technique: str
    source: Citation


PUBLISHED_RESULTS = {
    row.id: row
    for row in (
        PublishedResult("checkpointing", "mix", CHEN_2016.at("abstract")),
        PublishedResult("flash", "mix", DAO_2022.at("abstract")),
        PublishedResult("qlora", "mix", DETTMERS_2023.at("abstract")),
        PublishedResult("gptq", "quantization", FRANTAR_2023.at("abstract")),
        PublishedResult("sparse_gpt", "pruning", FRANTAR_ALISTARH_2023.at("abstract")),
        PublishedResult("two_of_four", "pruning", MISHRA_2021.at("abstract")),
        PublishedResult("minitron_width", "pruning", SREENIVAS_2024.at("table 1")),
        PublishedResult("minitron_depth", "pruning", SREENIVAS_2024.at("table 1")),
        PublishedResult("distilbert", "distillation", SANH_2019.at("abstract")),
        PublishedResult("minitron", "distillation", MURALIDHARAN_2024.at("abstract")),
    )
}
