# The studio: docker compose up. compose.yaml says what it needs beside it.
FROM python:3.11-slim

COPY . /source
# PyTorch for processors; the one for GPUs is several times larger.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu '/source[studio]' \
    && rm -rf /source \
    && useradd --uid 10001 --create-home studio \
    && install --directory --owner studio /state

ENV HF_HOME=/state/huggingface
USER studio
WORKDIR /work
VOLUME /state
EXPOSE 8017
# The first start imagines users, which takes minutes for a large prior.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8017/readyz', timeout=4)"]
ENTRYPOINT ["prefprior-serve", "host=0.0.0.0", "run_dir=/state"]
