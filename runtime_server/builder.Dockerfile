# The image that builds models (spec.model.build): GenAI's model builder on Debian's PyTorch, which is for the CPU; PyPI's would bring 4 GB
# of CUDA. Build from the repository's root:  docker build -f runtime_server/builder.Dockerfile .
# BASE is Debian trixie, with or without what the first stage installs.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS torch
RUN dpkg-query --show python3-torch > /dev/null 2>&1 || (apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends python3-torch ca-certificates > /dev/null && apt-get clean)

FROM torch AS dependencies
# A mirror of PyPI, where one is configured.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
RUN dpkg-query --show python3-venv > /dev/null 2>&1 || (apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends python3-venv > /dev/null)
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --quiet --no-cache-dir uv==0.13.8
ENV PATH=$PATH:/opt/tools/bin \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=true
COPY runtime_server/requirements-builder.txt /src/
# What only tests, compiles or describes types goes.
RUN python3 -m venv --system-site-packages --without-pip /opt/genai/venv \
    && uv pip install --quiet --no-deps --require-hashes --python /opt/genai/venv/bin/python -r /src/requirements-builder.txt \
    && cd /opt/genai/venv/lib/python3*/site-packages \
    && rm -rf onnx/backend/test onnx/test onnxruntime/datasets onnxruntime/backend numpy/_core/include numpy/_core/lib \
        numpy/f2py numpy/distutils huggingface_hub/inference huggingface_hub/cli \
    && find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py -delete \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' -o -name '*.proto' \) -delete \
    && python3 -m compileall -q -j 0 .

FROM torch AS root
# PyTorch's packages ask for more than it opens: its tests, another NumPy, graphs for its compiler, and AMD's and Intel's graphics for MPI.
# The package manager goes, its list of what is installed stays.
RUN cd /usr/lib/python3/dist-packages \
    && rm -rf numpy numpy-* networkx* hypothesis* expecttest* chardet* torch/test torch/utils/benchmark torch/include sympy/*/tests \
        /usr/lib/libtorch-test /usr/lib/*/ucx/*rocm* /usr/lib/*/libLLVM* /usr/lib/*/libamd_comgr* /usr/lib/*/libamdhip64* \
        /usr/lib/*/libhsa-runtime64* /usr/lib/*/libze_* /usr/lib/*/liboshmem* /usr/lib/*/libapt-pkg* /usr/lib/*/lib[bg]*-system.so /usr/lib/*/libgprofng* \
        /usr/lib/*/libopcodes* /usr/lib/*/gprofng /usr/lib/apt /usr/bin/apt* /usr/bin/*-ld* /usr/bin/*-gp-* /usr/bin/gp-* \
        /usr/bin/ld* /usr/bin/*-linux-gnu-* /var/lib/apt /var/cache/apt /var/log/* /usr/lib/python3*/ensurepip /usr/share/python-wheels \
        /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/setuptools* /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && find / -xdev -name __pycache__ -type d -path '/usr/lib/python3/*' -prune -exec rm -rf {} + \
    && python3 -m compileall -q -j 0 torch sympy mpmath \
    && mkdir -p /var/lib/genai && chown 65532:65532 /var/lib/genai
COPY --from=dependencies /opt/genai/venv /opt/genai/venv
# All that a build opens: this tells whether too much was taken away.
RUN PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 /opt/genai/venv/bin/python -c "import onnxruntime, onnxruntime_genai, torch; \
        import onnxruntime_genai.models.builder; \
        from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM; \
        small = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1); \
        LlamaForCausalLM(small)(torch.tensor([[1, 2]])).logits.log_softmax(-1)"

FROM scratch
COPY --from=root / /
COPY runtime_server/genai_protocol /opt/genai/app/genai_protocol
COPY runtime_server/genai_runtime /opt/genai/app/genai_runtime
COPY runtime_server/genai_builder /opt/genai/app/genai_builder
ENV PATH=/opt/genai/app/genai_builder/bin:/opt/genai/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/genai/app \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["genai-builder"]
