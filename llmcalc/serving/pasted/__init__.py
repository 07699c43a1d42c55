"""What a machine printed: settings and figures of logs, and what is predicted beside them."""

from llmcalc.serving.pasted.beside import Compared, Row, beside
from llmcalc.serving.pasted.pasted import LONGEST, Pasted, read_pasted
from llmcalc.serving.pasted.receipt import ServingReceipt, read_serving_receipt, receipt_of

__all__ = [
    "LONGEST",
    "Compared",
    "Pasted",
    "Row",
    "ServingReceipt",
    "beside",
    "read_pasted",
    "read_serving_receipt",
    "receipt_of",
]
