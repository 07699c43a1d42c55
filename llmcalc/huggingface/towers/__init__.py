"""What models that also take images or sound have beside their language model: a reader for each model_type."""

from __future__ import annotations

from collections.abc import Mapping

from llmcalc.huggingface.towers import attended, merged, own, pictures, projected, published, resamplers, sound, voices
from llmcalc.huggingface.towers.pieces import Reader

TOWERS: Mapping[str, Reader] = {
    **projected.READERS,
    **merged.READERS,
    **own.READERS,
    **sound.READERS,
    **resamplers.READERS,
    **attended.READERS,
    **voices.READERS,
    **pictures.READERS,
    **published.READERS,
}
