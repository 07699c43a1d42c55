"""A Hugging Face ``config.json`` as a model, exact to the parameter.

>>> from llmcalc.huggingface import read_config
>>> reading = read_config({"model_type": "bert", "architectures": ["BertModel"]})
>>> reading.model.parameters().value, reading.dimensions["d_model"]
(109482240, 768)
"""

from llmcalc.huggingface.keys import Notice
from llmcalc.huggingface.read import Reading, dimensions, from_config, read_config
from llmcalc.huggingface.resized import names_of_sizes, override
from llmcalc.huggingface.text import parse_config

__all__ = [
    "Notice",
    "Reading",
    "dimensions",
    "from_config",
    "names_of_sizes",
    "override",
    "parse_config",
    "read_config",
]
