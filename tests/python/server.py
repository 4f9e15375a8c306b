"""The original service: prints its port, serves until it is killed. --listen ADDRESS for a port that is known."""

import sys
from concurrent import futures

import grpc
from contract import messages, services


class Api(services.ApiServicer):
    def sayHello(self, request, context):
        return messages.Hello(message=f"Hello {request.name}!")

    def getAll(self, request, context):
        return messages.Items(items=self.items(request.length))

    def getStream(self, request, context):
        yield from self.items(request.length)

    @staticmethod
    def items(length):
        return (messages.Item(id=i, name=f"name {i}") for i in range(1, length + 1))


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services.add_ApiServicer_to_server(Api(), server)
    port = server.add_insecure_port(sys.argv[2] if sys.argv[1:2] == ["--listen"] else "127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
