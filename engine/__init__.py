"""Inference: back ends, micro-batches, pipelines and models. It knows nothing of Kafka."""
