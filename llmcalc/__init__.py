"""llmcalc: the size, memory and scaling of Transformer language models, every number with its working.

>>> import llmcalc
>>> llmcalc.Dimensions().model().parameters().value
124439808
"""

from llmcalc.errors import InputError
from llmcalc.inference import inference_memory
from llmcalc.quantity import Quantity, formula, total
from llmcalc.training import TrainingMemory, TrainingRun, article_training_memory, training_memory
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Block, Model

__all__ = [
    "Block",
    "Dimensions",
    "InputError",
    "Model",
    "Quantity",
    "TrainingMemory",
    "TrainingRun",
    "article_training_memory",
    "formula",
    "inference_memory",
    "total",
    "training_memory",
]
