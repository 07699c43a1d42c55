"""Models whose parameters and tokens of training were published: points beside the reader's."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.sources import (
    BIDERMAN_2023,
    BROWN_2020,
    CHOWDHERY_2022,
    DEEPSEEK_V3,
    FALCON_180B,
    HOFFMANN_2022,
    LI_2023,
    LLAMA_MODELS,
    MOSAIC_2023,
    SMOLLM3,
    TOUVRON_2023,
    ZHANG_2022,
    Citation,
)


@dataclass(frozen=True)
class Trained:
    """A published model: the parameters that a token goes through, and the tokens of its training."""

    name: str
    parameters: float
    tokens: float
    source: Citation


TRAINED = (
    Trained("LLaMA 7B", 6.7e09, 1e12, TOUVRON_2023.at("table 15")),
    Trained("LLaMA 13B", 1.3e10, 1e12, TOUVRON_2023.at("table 15")),
    Trained("LLaMA 65B", 6.52e10, 1.4e12, TOUVRON_2023.at("table 15")),
    Trained("Llama 2 7B", 6_738_415_616, 2e12, LLAMA_MODELS.at("models/llama2/MODEL_CARD.md")),
    Trained("Llama 2 34B", 3.4e10, 2e12, LLAMA_MODELS.at("models/llama2/MODEL_CARD.md")),
    Trained("Llama 2 70B", 68_976_648_192, 2e12, LLAMA_MODELS.at("models/llama2/MODEL_CARD.md")),
    Trained("Llama 3 70B", 70_553_706_496, 1.5e13, LLAMA_MODELS.at("models/llama3/MODEL_CARD.md")),
    Trained("Llama 3.1 8B", 8_030_261_248, 1.5e13, LLAMA_MODELS.at("models/llama3_1/MODEL_CARD.md")),
    Trained("Llama 3.1 405B", 405_853_388_800, 1.56e13, LLAMA_MODELS.at("models/llama3_1/MODEL_CARD.md")),
    Trained("Llama 3.2 1B", 1.23e09, 9e12, LLAMA_MODELS.at("models/llama3_2/MODEL_CARD.md")),
    Trained("Pythia 70M", 70_426_624, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("Pythia 160M", 162_322_944, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("Pythia 1B", 1_011_781_632, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("Pythia 1.4B", 1_414_647_808, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("Pythia 6.9B", 6_856_253_440, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("Pythia 12B", 11_842_140_160, 299_892_736_000, BIDERMAN_2023.at("table 5")),
    Trained("OPT 175B", 1.75e11, 1.8e11, ZHANG_2022.at("sec. 2.4")),
    Trained("PaLM 540B", 5.4035e11, 7.8e11, CHOWDHERY_2022.at("sec. 5.1; p. 66")),
    Trained("MPT 7B", 6.7e09, 1e12, MOSAIC_2023.at("Training")),
    Trained("SmolLM3 3B", 3_075_098_624, 1.12e13, SMOLLM3.at("Training configuration")),
    Trained("StarCoderBase 15B", 1.55e10, 1e12, LI_2023.at("p. 17")),
    Trained("Falcon 180B", 1.8e11, 3.5e12, FALCON_180B.at("Training")),
    Trained("DeepSeek V3", 3.7e10, 1.48e13, DEEPSEEK_V3.at("sec. 1, table 1")),
    Trained("GPT-3 Small", 1.25e08, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 Medium", 3.56e08, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 Large", 7.6e08, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 XL", 1.32e09, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 2.7B", 2.65e09, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 6.7B", 6.66e09, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 13B", 1.285e10, 3e11, BROWN_2020.at("table D.1")),
    Trained("GPT-3 175B", 1.746e11, 3e11, BROWN_2020.at("table D.1")),
    Trained("LaMDA", 1.37e11, 1.68e11, HOFFMANN_2022.at("table 1")),
    Trained("Jurassic-1", 1.78e11, 3e11, HOFFMANN_2022.at("table 1")),
    Trained("Gopher", 2.8e11, 3e11, HOFFMANN_2022.at("table 1")),
    Trained("MT-NLG 530B", 5.3e11, 2.7e11, HOFFMANN_2022.at("table 1")),
    Trained("Chinchilla", 7e10, 1.4e12, HOFFMANN_2022.at("table 1")),
)
