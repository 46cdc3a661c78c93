# One image for API, workers and UI; docker-compose.yml says which command each runs.
FROM python:3.11-slim

# A new volume at /models belongs to the user that this folder belongs to.
RUN useradd --create-home --uid 1000 rlsd && install --directory --owner rlsd /models
WORKDIR /app

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY backend backend
COPY worker worker
COPY frontend frontend
COPY migrations migrations
COPY examples examples

# The source stays in /app (editable), where migrations and the starter are found.
RUN pip install --no-cache-dir --constraint constraints.txt torch \
    && pip install --no-cache-dir --constraint constraints.txt --editable '.[oidc]' \
    && python -m worker.sandbox.environment

USER rlsd
ENV PYTHONUNBUFFERED=1 HF_HOME=/models/hub RLSD_MODELS_FOLDER=/models/listed
ENTRYPOINT ["rlsd"]
