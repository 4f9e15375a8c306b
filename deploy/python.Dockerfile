# The original Python server, for deploy/compose.split.yaml and deploy/compose.scaled.yaml.
FROM python:3.13-slim
RUN pip install --no-cache-dir grpcio==1.85.1 grpcio-tools==1.85.1
WORKDIR /app
COPY contract.py original.proto server.py ./
USER 65532:65532
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python"]
