"""From settings to objects: the one module that names concrete sources, back ends and topics."""

from typing import Any

from config.cameras import read_cameras
from config.errors import ConfigError
from config.settings import CameraSettings, EngineSettings, Settings
from consumers.admission import Admission
from consumers.consumer import Consumer, ConsumerOptions, ConsumerParts
from consumers.dispatcher import Dispatcher
from consumers.freshness import Freshness
from consumers.in_flight import InFlightLimits
from consumers.outcomes import ConsumerIdentity, OutcomePublisher
from consumers.steps import classification_steps
from consumers.subscription import FrameSubscription, SubscriptionOptions
from consumers.telemetry import ConsumerTelemetry
from engine.batching import MicroBatcher
from engine.images.header import ImageLimits
from engine.models.classifier import Classifier, open_classifier
from engine.models.description import ModelDescription, read_labels
from engine.pipeline.pipeline import UNBOUNDED, Pipeline
from engine.session_keywords import read_keywords
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan
from producers.camera import Camera, CameraOptions
from producers.cameras import Cameras
from producers.encoding import JpegEncoder
from producers.publisher import FramePublisher
from producers.sources.base import Source
from producers.sources.uri import open_source


def kafka_of(settings: Settings) -> Kafka:
    """Return where Kafka is."""
    return Kafka(settings.bootstrap_servers)


def topic_names(settings: Settings) -> TopicNames:
    """Return what the topics are called."""
    return TopicNames(settings.frames_topic, settings.results_topic, settings.dead_letter_topic, settings.status_topic)


def topic_plan(settings: Settings) -> TopicPlan:
    """Return how missing topics are made."""
    return TopicPlan(
        topic_names(settings),
        settings.partitions,
        settings.replication,
        settings.frames_retention,
        settings.frames_retention_bytes,
        settings.results_retention,
    )


def cameras_of(settings: Settings) -> Cameras:
    """Put the cameras of this process together, with their sources checked; nothing is opened or connected.

    Raises:
        ConfigError: It is not said what the cameras are.
        ProducerError: A source can never work.
    """
    if settings.cameras is not None:
        if settings.camera is not None or settings.source is not None:
            raise ConfigError("give --cameras FILE, or --camera NAME --source URI, not both")
        wanted = read_cameras(settings.cameras, settings)
    else:
        if settings.camera is None or settings.source is None:
            missing = "--camera NAME" if settings.camera is None else "--source URI"
            raise ConfigError(
                f"{missing} is missing: try `streamer produce --camera demo --source synthetic:workpiece`"
            )
        wanted = [settings]
    sources = [_checked_source(camera, settings) for camera in wanted]
    publisher = FramePublisher(kafka_of(settings), topic_names(settings), settings.buffer_bytes)
    return Cameras(
        [
            Camera(
                camera.camera or "",
                source,
                JpegEncoder(camera.short_side, camera.quality),
                publisher,
                CameraOptions(camera.fps, camera.frames, camera.loop),
            )
            for camera, source in zip(wanted, sources, strict=True)
        ],
        publisher,
    )


def _checked_source(camera: CameraSettings, settings: Settings) -> Source:
    source = open_source(
        camera.source or "",
        timeout_s=settings.source_timeout.total_seconds(),
        short_side_px=camera.short_side,
    )
    source.check()
    return source


def group_of(settings: Settings) -> str:
    """Return the consumer group: each device has one of its own, unless it is told to share."""
    return settings.group or f"streamer-device-{settings.device}"


def classifier_of(settings: Settings) -> Classifier:
    """Open the model on its back end.

    Raises:
        EngineError: The model, the back end or the device cannot be used.
    """
    said = ModelDescription(
        labels=read_labels(settings.model_labels) if settings.model_labels else None,
        short_side_px=settings.model_short_side,
        mean=settings.model_mean,
        std=settings.model_std,
        layout=settings.model_layout,
        activation=settings.model_activation,
    )
    # On the CPU the device's number only names the group.
    wanted = engine_keywords(settings) | {"device": settings.device}
    keywords = read_keywords(wanted, is_beside_decoding=True, is_strict=False, open_batch=settings.batch_size)
    # A simulated card that computes nothing needs no model.
    name = settings.model or (None if settings.compute == "none" else "workpiece")
    return open_classifier(name, keywords.backend(), keywords.options, said)


def engine_keywords(settings: EngineSettings) -> dict[str, Any]:
    """Return what was said of the engine, in the keywords of `Session`."""
    said: dict[str, Any] = {
        "backend": settings.backend,
        "num_activations": settings.activations,
        "set_size": settings.set_size,
        "inference_threads": settings.inference_threads,
        "options_path": settings.options_path,
        "data_path_timeout": settings.data_path_timeout.total_seconds() if settings.data_path_timeout else None,
        "row": settings.row,
        "compute": settings.compute,
    }
    return {name: value for name, value in said.items() if value is not None}


def consumer_of(settings: Settings, classifier: Classifier) -> Consumer:
    """Put a consumer together; nothing is started or connected."""
    kafka, topics, group = kafka_of(settings), topic_names(settings), group_of(settings)
    spec = classifier.spec
    capacity = min(settings.batch_size, classifier.program.max_rows or settings.batch_size)
    max_age_us = round(settings.max_age.total_seconds() * 1e6) if settings.max_age is not None else None
    freshness = Freshness(settings.policy, max_age_us)
    telemetry = ConsumerTelemetry(group, topics.frames)
    identity = ConsumerIdentity(group, settings.device, classifier.backend.name, spec)
    pipeline = Pipeline(
        classification_steps(
            classifier,
            freshness,
            capacity=classifier.program.rows_for(capacity),
            top=settings.top,
            decode_threads=settings.decode_threads,
        ),
        # The dispatcher bounds what is on its way, and halves of failed batches are sent from the pipeline's threads.
        max_in_flight=UNBOUNDED,
    )
    parts = ConsumerParts(
        frames=FrameSubscription(
            kafka,
            topics.frames,
            group,
            SubscriptionOptions(settings.start, settings.session_timeout.total_seconds()),
        ),
        admission=Admission(group, ImageLimits(settings.max_frame_bytes, settings.max_frame_pixels), freshness),
        dispatcher=Dispatcher(
            MicroBatcher(capacity, settings.batch_timeout.total_seconds(), settings.max_in_flight_bytes),
            pipeline,
            freshness,
            capacity=capacity,
            places=settings.decode_threads + classifier.backend.slots,
        ),
        pipeline=pipeline,
        backend=classifier.backend,
        outcomes=OutcomePublisher(kafka, topics, identity, telemetry),
        telemetry=telemetry,
    )
    options = ConsumerOptions(
        limits=InFlightLimits(settings.max_in_flight, settings.max_in_flight_bytes),
        until_idle_s=settings.until_idle.total_seconds() if settings.until_idle is not None else None,
        drain_timeout_s=settings.drain_timeout.total_seconds(),
    )
    return Consumer(parts, options, topics.status)
