# The same steps as on any machine (`make setup`), then JupyterLab as an unprivileged user.
#   docker build -t llm-ladder .
#   docker run --rm -p 8888:8888 -v "$PWD/work:/home/learner/llm-ladder/work" llm-ladder
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install -y --no-install-recommends make git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 learner

USER learner
WORKDIR /home/learner/llm-ladder
COPY --chown=learner:learner . .
RUN make setup && mkdir -p work

EXPOSE 8888
CMD ["make", "start", "ARGS=--no-browser --ip=0.0.0.0"]
