"""Answers as each call asks: prints its port, serves until it is killed.

Options: --port PORT, --reflection, and --health for a grpc.health.v1 service, whose state each line on
standard input sets ("SERVING", "NOT_SERVING").
"""

import argparse
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from rich import messages, services

METADATA = (
    ("x-text", "one"),
    ("x-text", "two"),
    ("x-empty", ""),
    ("x-data-bin", b"\x00\xff\xfe"),
    ("x-data-bin", b""),
    ("x-data-bin", b"\x01" * 5),
)
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Rich(services.RichServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.running = 0
        self.produced = 0

    def begin(self, context):
        gone = threading.Event()

        def end():
            gone.set()
            with self.lock:
                self.running -= 1

        with self.lock:
            self.running += 1
        if not context.add_callback(end):
            end()
        return gone

    def answers(self, ask, context):
        gone = self.begin(context)
        if ask.metadata:
            context.send_initial_metadata(METADATA)
            context.set_trailing_metadata(METADATA + (
                (("grpc-status-details-bin", ask.details),) if ask.details else ()))
        for number in range(ask.messages):
            if gone.is_set():
                return
            with self.lock:
                self.produced += 1
            yield self.answer(ask, context, number)
        if ask.wait:
            gone.wait()
        if ask.code:
            context.abort(CODES[ask.code], ask.text)

    @staticmethod
    def answer(ask, context, number):
        left = context.time_remaining()
        return messages.Answer(
            number=number,
            payload=ask.payload or bytes(ask.message_bytes),
            received=[
                messages.Metadata(name=name, value=value.encode() if isinstance(value, str) else value)
                for name, value in context.invocation_metadata()
            ],
            left_ms=-1 if left is None or left > 1e9 else int(left * 1000),
        )

    def single(self, ask, context):
        answer = messages.Answer()
        for answer in self.answers(ask, context):
            pass
        return answer

    def Unary(self, request, context):
        return self.single(request, context)

    def ServerStream(self, request, context):
        yield from self.answers(request, context)

    def ClientStream(self, request_iterator, context):
        asks = list(request_iterator)
        answer = self.single(asks[0] if asks else messages.Ask(messages=1), context)
        answer.number = len(asks)
        return answer

    def Bidi(self, request_iterator, context):
        first = True
        for ask in request_iterator:
            if first:
                yield from self.answers(ask, context)
                first = False
            else:
                yield self.answer(ask, context, -1)

    def State(self, request, context):
        with self.lock:
            return messages.Handlers(running=self.running, produced_messages=self.produced)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--health", action="store_true")
    parser.add_argument("--reflection", action="store_true")
    arguments = parser.parse_args()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=[("grpc.so_reuseport", 0)])
    services.add_RichServicer_to_server(Rich(), server)
    if arguments.reflection:
        names = [service.full_name for service in messages.DESCRIPTOR.services_by_name.values()]
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
    if arguments.health:
        reported = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(reported, server)

        def listen():
            for line in sys.stdin:
                reported.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))

        threading.Thread(target=listen, daemon=True).start()
    port = server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
