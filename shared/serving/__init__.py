"""Bundles behind the Open Inference Protocol: gRPC with batching, bounds, hot reload, health and metrics."""
