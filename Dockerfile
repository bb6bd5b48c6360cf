# docker build -t newsreel . && docker run --gpus all -p 8000:8000 -v newsreel:/data newsreel
# torch brings its own CUDA libraries; the base says which driver they need.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

# g++ and Python's headers: torch.compile and Triton build their launchers with them.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends software-properties-common g++ \
    && add-apt-repository -y ppa:deadsnakes/ppa \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        python3.11 python3.11-dev python3.11-venv \
    && rm -rf /var/lib/apt/lists/*

RUN python3.11 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

WORKDIR /app
COPY requirements.txt requirements-worker.txt requirements-fleet.txt requirements-trust.txt ./
RUN pip install --no-cache-dir -r requirements-worker.txt -r requirements-fleet.txt \
        -r requirements-trust.txt

COPY checkpoints ./checkpoints
COPY data/samples ./data/samples
COPY configs ./configs
COPY src ./src
RUN python -m compileall -q src

RUN useradd --uid 10001 --create-home newsreel \
    && mkdir -p /data /models checkpoints/adapters \
    && chown newsreel:newsreel /data /models
USER newsreel

# Compiled kernels lie in the volume too, so that the second start is quick.
ENV NEWSREEL_HOME=/data \
    NEWSREEL_WARM=optimized \
    HF_HOME=/models \
    NUMBA_CACHE_DIR=/data/cache/numba \
    TORCHINDUCTOR_CACHE_DIR=/data/cache/inductor \
    TRITON_CACHE_DIR=/data/cache/triton \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

VOLUME ["/data", "/models"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["uvicorn", "src.api_server:app", "--host", "0.0.0.0", "--port", "8000"]
