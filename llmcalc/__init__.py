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
from llmcalc.quantity import Quantity, formula, total
from llmcalc.scaling import LAWS
from llmcalc.scaling.bought import best_bought
from llmcalc.scaling.cost import Budget, training_cost
from llmcalc.serving.held import inference_memory
from llmcalc.serving.job import Serving
from llmcalc.serving.serve import serve
from llmcalc.serving.served import Served
from llmcalc.step.inference import Inference, InferenceRun, inference
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, peak_sweep, training_step
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Block, Model

__all__ = [
    "LAWS",
    "Block",
    "Budget",
    "Configuration",
    "Dimensions",
    "Inference",
    "InferenceRun",
    "InputError",
    "Model",
    "Quantity",
    "Reading",
    "Served",
    "Serving",
    "Step",
    "TrainingRun",
    "best_bought",
    "dimensions",
    "formula",
    "from_config",
    "inference",
    "inference_memory",
    "override",
    "peak_sweep",
    "read_config",
    "serve",
    "total",
    "training_cost",
    "training_step",
]
