"""All tables, in the page's order. What is in them is their modules'."""

from genai_operator.parameters import guide, live_options, practices, triton, triton_config, triton_tensorrt
from genai_operator.parameters.row import Section

ALL: tuple[Section, ...] = (
    triton_tensorrt.TENSORRT,
    triton.CUDA,
    triton.OPENVINO,
    triton.OPTIONS,
    triton.CUDA_PARAMETERS,
    triton.COMMAND_LINE,
    triton_config.CONFIG,
    live_options.OPTIONS,
    practices.PRACTICES,
    guide.ENVIRONMENT,
    guide.BUILDER,
    guide.HTTP,
)
