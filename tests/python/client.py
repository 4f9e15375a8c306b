"""A client of the original contract: calls each RPC at ADDRESS, prints the answers as JSON."""

import json
import sys

import grpc
from contract import messages, services
from grpc_health.v1 import health_pb2, health_pb2_grpc


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    raise AssertionError("the call should have failed")


def main(address):
    with grpc.insecure_channel(address) as channel:
        api = services.ApiStub(channel)
        stream = api.getStream(messages.ApiRequest(length=2**31 - 1))
        first = next(stream)
        stream.cancel()
        print(json.dumps({
            "hello": api.sayHello(messages.HelloRequest(name="Gonzalo")).message,
            "all": [[item.id, item.name] for item in api.getAll(messages.ApiRequest(length=10)).items],
            "stream": [[item.id, item.name] for item in api.getStream(messages.ApiRequest(length=5))],
            "gzip": api.sayHello(
                messages.HelloRequest(name="z" * 1000), compression=grpc.Compression.Gzip
            ).message == "Hello " + "z" * 1000 + "!",
            "first_of_many": [first.id, first.name],
            "negative": failure(lambda: api.getAll(messages.ApiRequest(length=-1))),
            "too_large": failure(lambda: api.getAll(messages.ApiRequest(length=1_000_000))),
            "unknown": failure(lambda: channel.unary_unary(
                "/api.Api/noSuchMethod", lambda message: message, lambda message: message)(b"")),
            "health": health_pb2.HealthCheckResponse.ServingStatus.Name(
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="api.Api")).status
            ),
        }))


if __name__ == "__main__":
    main(sys.argv[1])
