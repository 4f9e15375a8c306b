"""Makes every kind of call to the rich service at ADDRESS, prints all that a client sees as JSON."""

import hashlib
import json
import sys

import grpc
from rich import messages, services

SENT = (
    ("x-sent", "one"),
    ("x-sent", "two"),
    ("x-sent-empty", ""),
    ("x-sent-bin", b"\x00\x01\xff"),
    ("x-sent-bin", b""),
)


def shown(metadata):
    """In order, binary values as hex."""
    return [[name, value.hex() if isinstance(value, bytes) else value] for name, value in metadata or ()]


def message(answer):
    # Binary values have been decoded by grpcio.
    received = [[pair.name, pair.value.hex()] for pair in answer.received]
    digest = hashlib.sha256(answer.payload).hexdigest()
    return {"number": answer.number, "received": sorted(received), "payload": digest,
            "has_deadline": answer.left_ms >= 0}


def seen(call, several):
    """What a call ends as."""
    answers, error = [], None
    try:
        if several:
            for answer in call:
                answers.append(message(answer))
        else:
            answers.append(message(call.result()))
    except grpc.RpcError as failed:
        error = failed
    assert error is None or error.code() == call.code()
    return {
        "messages": answers,
        "initial": shown(call.initial_metadata()),
        "code": call.code().name,
        "text": call.details(),
        "trailing": shown(call.trailing_metadata()),
    }


def main(address):
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    with grpc.insecure_channel(address, options=options) as channel:
        rich = services.RichStub(channel)
        kinds = {
            "unary": lambda ask, **how: seen(rich.Unary.future(ask, **how), False),
            "server": lambda ask, **how: seen(rich.ServerStream(ask, **how), True),
            "client": lambda ask, **how: seen(rich.ClientStream.future(iter([ask, ask, ask]), **how), False),
            "bidi": lambda ask, **how: seen(rich.Bidi(iter([ask, ask, ask]), **how), True),
        }
        asks = {
            "plain": messages.Ask(messages=1),
            "metadata": messages.Ask(messages=2, metadata=True),
            "none": messages.Ask(messages=0),
            "large": messages.Ask(messages=2, message_bytes=3_000_000, payload=b"\x07" * 2_000_000),
            "details": messages.Ask(code=9, text="no: 100 % \u4e16\u754c\n\x00", details=bytes(range(256)),
                                    metadata=True),
            "late": messages.Ask(messages=3, message_bytes=100_000, code=15, text="late", metadata=True),
        }
        for code in range(1, 17):
            asks[f"code {code}"] = messages.Ask(code=code, text=f"code {code}")
        seen_calls = {}
        for kind, call in kinds.items():
            for name, ask in asks.items():
                seen_calls[f"{kind}: {name}"] = call(ask, metadata=SENT)
            seen_calls[f"{kind}: timeout"] = call(messages.Ask(messages=1), timeout=1000)
            seen_calls[f"{kind}: gzip"] = call(
                messages.Ask(messages=1, payload=bytes(10_000)), compression=grpc.Compression.Gzip)
        unknown = channel.unary_unary("/rich.Rich/Unknown", lambda ask: ask, lambda answer: answer)
        try:
            unknown(b"")
        except grpc.RpcError as error:
            seen_calls["unknown"] = [error.code().name, error.details()]
        print(json.dumps(seen_calls))


if __name__ == "__main__":
    main(sys.argv[1])
