"""From settings to objects: the one module that names concrete sources, back ends and topics."""

import sys
from functools import partial
from typing import Any

from config.cameras import read_cameras
from config.errors import ConfigError
from config.settings import CameraSettings, EngineSettings, ModelDescriptionSettings, Settings
from consumers.admission import Admission
from consumers.at_least_once import AtLeastOnce
from consumers.batch import Outgoing
from consumers.batch_deadline import BatchDeadline
from consumers.committer import Committer
from consumers.consumer import Consumer, ConsumerOptions, ConsumerParts
from consumers.dead_letter_limits import DeadLetterLimits
from consumers.delivery import Delivery
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher, camera_of
from consumers.events import Events
from consumers.exactly_once import ExactlyOnce, TransactionOptions
from consumers.freshness import Freshness
from consumers.in_flight import InFlight, InFlightLimits
from consumers.model_watch import ModelWatch
from consumers.outcomes import ConsumerIdentity, OutcomeWriter
from consumers.running_model import RunningModel
from consumers.shadow import Shadow
from consumers.slots import Slots
from consumers.status_publisher import StatusPublisher
from consumers.steps import classification_steps
from consumers.subscription import FrameSubscription, SubscriptionOptions
from consumers.telemetry import ConsumerTelemetry
from engine.batching import MicroBatcher
from engine.images.header import ImageLimits
from engine.models.classifier import Classifier, open_classifier
from engine.models.description import ModelDescription, read_labels
from engine.models.store.watch import CurrentVersion
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
from streamer.connection import security_of
from streamer.model_store import model_store_of, state_directory, stored_name
from streamer.standby import backend_of


def kafka_of(settings: Settings) -> Kafka:
    """Return where Kafka is, and how to get in.

    Raises:
        SecuritySettingError: A secret cannot be read, or the settings of TLS and login do not go together.
    """
    return Kafka(settings.bootstrap_servers, security=security_of(settings))


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


def classifier_of(settings: Settings, digest: str | None = None) -> Classifier:
    """Open the model on its back end.

    Args:
        settings: They name the model, and say how it is run.
        digest: The version of a model of the store, which the settings name; None for the current one.

    Raises:
        ConfigError: A standby has a model of its own beside one that may change.
        EngineError: The model, the back end or the device cannot be used.
    """
    # A simulated card that computes nothing needs no model.
    name = settings.model or (None if settings.compute == "none" else "workpiece")
    # A file that is called so by now does not take the place of a model that is followed.
    stored = name if digest is not None or name is None else stored_name(settings, name)
    if stored is not None and settings.standby_model is not None:
        raise ConfigError(
            f"--standby-model is one file, and the model {stored} of the store may change: its results would bear the "
            "wrong model's digest; give --model a path, or leave --standby-model out"
        )
    model = str(model_store_of(settings).path_of(stored, digest)) if stored is not None else name
    said = ModelDescription(
        name=stored,
        labels=read_labels(settings.model_labels) if settings.model_labels else None,
        short_side_px=settings.model_short_side,
        mean=settings.model_mean,
        std=settings.model_std,
        layout=settings.model_layout,
        activation=settings.model_activation,
    )
    # On the CPU the device's number only names the group.
    wanted = engine_keywords(settings) | {"device": settings.device}
    keywords = read_keywords(wanted, company="decoding", is_strict=False, open_batch=settings.batch_size)
    return open_classifier(model, backend_of(settings, keywords, wanted, model), keywords.options, said)


def _model_watch(settings: Settings) -> ModelWatch | None:
    """Follow the model where it is one of the store's."""
    stored = stored_name(settings, settings.model) if settings.model is not None else None
    if stored is None:
        return None
    current = CurrentVersion(model_store_of(settings), stored)
    return ModelWatch(current, lambda version: classifier_of(settings, version.digest), settings.batch_size)


def _shadow(settings: Settings) -> Shadow | None:
    """Run a second model, which describes itself, on the same back end and device, without a standby."""
    if settings.shadow is None:
        return None
    own = dict.fromkeys(("standby", "standby_model", *ModelDescriptionSettings.model_fields))
    return Shadow(
        partial(classifier_of, settings.model_copy(update=own | {"model": settings.shadow})), settings.batch_size
    )


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
    """Put a consumer together in the lowest free worker slot; nothing is started or connected.

    Raises:
        SlotError: The state directory cannot be used.
    """
    kafka, topics, group = kafka_of(settings), topic_names(settings), group_of(settings)
    model = RunningModel(classifier, settings.batch_size)
    max_age_us = round(settings.max_age.total_seconds() * 1e6) if settings.max_age is not None else None
    freshness = Freshness(settings.policy, max_age_us)
    slow_s = settings.trace_slower_than.total_seconds() if settings.trace_slower_than is not None else None
    telemetry, load = ConsumerTelemetry(group, topics, slow_s), DeviceLoad(classifier.backend.slots)
    events = Events(sys.stderr if settings.events else None)
    slots = Slots(state_directory(settings), settings.bootstrap_servers, group, settings.device)
    slot = slots.take()
    identity = ConsumerIdentity(group, settings.device, classifier.backend.name, slot.number)
    frames = FrameSubscription(
        kafka,
        topics.frames,
        group,
        SubscriptionOptions(
            settings.start,
            settings.session_timeout.total_seconds(),
            settings.max_poll_interval.total_seconds(),
            settings.drain_timeout.total_seconds(),
            settings.assignor,
            identity.member_name if settings.static_membership else None,
        ),
    )
    in_flight: InFlight[Outgoing] = InFlight(InFlightLimits(settings.max_in_flight, settings.max_in_flight_bytes))
    budget_s = settings.latency_budget.total_seconds() if settings.latency_budget is not None else None
    deadline = BatchDeadline(settings.batch_timeout.total_seconds(), budget_s)
    writer = OutcomeWriter(kafka, topics, identity, telemetry, deadline)
    interval_s, early_frames = settings.commit_interval.total_seconds(), max(settings.max_in_flight // 4, 1)
    delivery: Delivery
    if settings.delivery == "exactly-once":
        options = TransactionOptions(
            interval_s,
            settings.transaction_timeout.total_seconds(),
            early_frames,
            settings.session_timeout.total_seconds(),
        )
        delivery = ExactlyOnce(kafka, writer, frames, in_flight, events, (slots, slot), options)
    else:
        committer = Committer(frames, in_flight, early_frames, telemetry, events, interval_s)
        delivery = AtLeastOnce(kafka, writer, committer, events)
    pipeline = Pipeline(
        classification_steps(freshness, events, load, top=settings.top, decode_threads=settings.decode_threads),
        # The dispatcher bounds what is on its way, and parts of failed batches are sent from the pipeline's threads.
        max_in_flight=UNBOUNDED,
    )
    parts = ConsumerParts(
        slot=slot,
        frames=frames,
        in_flight=in_flight,
        admission=Admission(group, ImageLimits(settings.max_frame_bytes, settings.max_frame_pixels), freshness),
        dispatcher=Dispatcher(
            MicroBatcher(model.capacity, settings.max_in_flight_bytes, camera_of),
            pipeline,
            freshness,
            deadline,
            model,
            decode_threads=settings.decode_threads,
        ),
        pipeline=pipeline,
        delivery=delivery,
        dead_letter_limits=DeadLetterLimits(settings.dead_letter_share, settings.dead_letter_run),
        status=StatusPublisher(kafka, identity),
        telemetry=telemetry,
        events=events,
        load=load,
        watch=_model_watch(settings),
        shadow=_shadow(settings),
    )
    consumer_options = ConsumerOptions(
        until_idle_s=settings.until_idle.total_seconds() if settings.until_idle is not None else None,
        drain_timeout_s=settings.drain_timeout.total_seconds(),
    )
    return Consumer(parts, consumer_options, topics.status)
