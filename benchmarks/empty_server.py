"""A gRPC server that reads requests of the Open Inference Protocol and looks at nothing; ``serving.py`` starts it.

Prints its port.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb


async def main() -> None:
    answer = pb.ModelInferResponse(model_name="empty", raw_output_contents=[bytes(200)])

    async def infer(request: pb.ModelInferRequest, context: grpc.aio.ServicerContext) -> pb.ModelInferResponse:
        return answer

    streamed = pb.ModelStreamInferResponse(infer_response=answer)

    async def stream(requests: AsyncIterator[pb.ModelInferRequest], context: grpc.aio.ServicerContext) -> Any:
        async for _ in requests:
            yield streamed

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 2**26)])
    method = grpc.unary_unary_rpc_method_handler(
        infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
    )
    stream_method = grpc.stream_stream_rpc_method_handler(
        stream, pb.ModelInferRequest.FromString, pb.ModelStreamInferResponse.SerializeToString
    )
    service, methods = "inference.GRPCInferenceService", {"ModelInfer": method, "ModelStreamInfer": stream_method}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
