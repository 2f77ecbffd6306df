"""A gRPC server that reads requests of the Open Inference Protocol and looks at nothing; ``serving.py`` starts it.

Prints its port.
"""

import asyncio

import grpc
from tritonclient.grpc import service_pb2 as pb


async def main() -> None:
    answer = pb.ModelInferResponse(model_name="empty", raw_output_contents=[bytes(200)])

    async def infer(request: pb.ModelInferRequest, context: grpc.aio.ServicerContext) -> pb.ModelInferResponse:
        return answer

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 2**26)])
    method = grpc.unary_unary_rpc_method_handler(
        infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
    )
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ModelInfer": method}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
