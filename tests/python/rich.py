"""The rich service, compiled when imported."""

import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent))
messages, services = grpc.protos_and_services("rich.proto")
