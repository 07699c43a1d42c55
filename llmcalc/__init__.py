"""llmcalc: the size, memory and scaling of Transformer language models, every number with its working.

>>> import llmcalc
>>> llmcalc.Dimensions().model().parameters().value
124439808
>>> llmcalc.from_config({"model_type": "deepseek_v3"}).parameters().value
671026404352
"""

from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.huggingface import Reading, dimensions, from_config, override, read_config
from llmcalc.inference import inference_memory
from llmcalc.quantity import Quantity, formula, total
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, peak_sweep, training_step
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Block, Model

__all__ = [
    "Block",
    "Configuration",
    "Dimensions",
    "InputError",
    "Model",
    "Quantity",
    "Reading",
    "Step",
    "TrainingRun",
    "dimensions",
    "formula",
    "from_config",
    "inference_memory",
    "override",
    "peak_sweep",
    "read_config",
    "total",
    "training_step",
]
