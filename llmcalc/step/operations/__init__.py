"""PyTorch's operations: what each allocates, keeps for its backward, and allocates there.

What is kept is what PyTorch's ``derivatives.yaml`` names; which run in another format under autocast is what
``autocast_mode.h`` lists. A tensor's sides are named as they are in its product: batch, tokens, heads, channels.
"""

from llmcalc.step.operations.common import *  # noqa: F403
from llmcalc.step.operations.elementwise import *  # noqa: F403
from llmcalc.step.operations.kernels import *  # noqa: F403
from llmcalc.step.operations.moving import *  # noqa: F403
from llmcalc.step.operations.products import *  # noqa: F403
from llmcalc.step.operations.recurrent import *  # noqa: F403
