"""Pure: (model, observed) to status, conditions and plans for live pods. No I/O."""

from genai_operator.status.runtime_options import summarise_runtime_options
from genai_operator.status.summary import summarise, summarise_invalid

__all__ = ["summarise", "summarise_invalid", "summarise_runtime_options"]
