"""Every setting, its type, default and help text. The file, the environment and the flags are made from this.

The name of a field is its name in `streamer.toml`, in the environment (`STREAMER_` before it, upper case) and as a
flag (with dashes). A field of a section (`broker`, `demo`) stands in that table of the file, has the section in its
environment name (`STREAMER_BROKER_PORT`), and is a flag of that command alone. A secret (`SecretStr`) is no flag: every
user of the machine can read a command line. It has a second field, `…_file`, that names a file with it.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from config.types import Duration, Names, Numbers, Seconds, TextAsNumber

_MIB = 1024 * 1024
#: The type of the error about a secret that is given twice; its context holds the names of both settings.
GIVEN_TWICE = "given_twice"
TopicName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


def _duration(text: str) -> Duration:
    from config.types import parse_duration

    return parse_duration(text)


#: Zero would throw everything away at once.
_SHORTEST_RETENTION = _duration("1s")


class Group(BaseModel):
    """Settings that belong together. Frozen; unknown names are refused; values never show in error messages."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True, allow_inf_nan=False
    )


class TopicNameSettings(Group):
    """What the topics are called."""

    frames_topic: TopicName = Field("streamer.frames", description="topic that cameras publish frames to")
    results_topic: TopicName = Field("streamer.results", description="topic of the classifications")
    dead_letter_topic: TopicName = Field(
        "streamer.dead-letters", description="topic of frames that no one can classify"
    )
    status_topic: TopicName = Field("streamer.status", description="topic where cameras and workers report themselves")

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        """Refuse one topic in two roles: a consumer would read its own results as frames."""
        names = [self.frames_topic, self.results_topic, self.dead_letter_topic, self.status_topic]
        if len(set(names)) < len(names):
            raise ValueError("frames, results, dead letters and status need four different topics")
        return self


class KafkaSettings(TopicNameSettings):
    """Where Kafka is, how to get in, and what the topics are called."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="Kafka brokers, host:port, commas between"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] | None = Field(
        None, description="default: SASL_SSL with a login, SSL with TLS settings alone, else PLAINTEXT"
    )
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"] | None = Field(
        None, description="how to log in"
    )
    sasl_username: str | None = Field(None, min_length=1, description="who logs in, with SCRAM or PLAIN")
    sasl_password: SecretStr | None = Field(None, description="the password of this user")
    sasl_password_file: Path | None = Field(
        None, description="a file with the password, unless STREAMER_SASL_PASSWORD has it"
    )
    sasl_oauth_token_file: Path | None = Field(
        None, description="a file with the token, read again whenever Kafka wants one"
    )
    sasl_oauth_token_url: str | None = Field(
        None, min_length=1, description="where an OpenID provider gives tokens (client credentials)"
    )
    sasl_oauth_client_id: str | None = Field(None, min_length=1, description="who asks the provider for a token")
    sasl_oauth_client_secret: SecretStr | None = Field(None, description="the secret of this client")
    sasl_oauth_client_secret_file: Path | None = Field(
        None, description="a file with its secret, unless STREAMER_SASL_OAUTH_CLIENT_SECRET has it"
    )
    sasl_oauth_scope: str | None = Field(None, min_length=1, description="scopes to ask for, blanks between")
    tls_ca_file: Path | None = Field(
        None, description="authorities that the broker's certificate may be of, in PEM (default: the system's)"
    )
    tls_certificate_file: Path | None = Field(None, description="our own certificate and its chain, in PEM")
    tls_key_file: Path | None = Field(None, description="its key, in PEM (default: beside the certificate)")
    tls_key_password: SecretStr | None = Field(None, description="what the key is encrypted with")
    tls_key_password_file: Path | None = Field(
        None, description="a file with the key's password, unless STREAMER_TLS_KEY_PASSWORD has it"
    )
    tls_skip_hostname_check: bool = Field(
        default=False, description="take a certificate for another host, too: this lets others pose as the broker"
    )

    @model_validator(mode="after")
    def _secrets_stand_once(self) -> Self:
        """Refuse a secret that is given twice: nobody could say which one is meant."""
        for name in ("sasl_password", "sasl_oauth_client_secret", "tls_key_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                both = {"first": name, "second": f"{name}_file"}
                raise PydanticCustomError(GIVEN_TWICE, "give {first} or {second}, not both", both)
        return self


class TopicSettings(Group):
    """How topics are made where they are missing."""

    partitions: int = Field(
        8, ge=1, le=10_000, description="partitions of frames and results: the most workers in a group"
    )
    replication: int | None = Field(None, ge=1, le=100, description="copies of each partition (default: the broker's)")
    frames_retention: Duration = Field(_duration("10m"), ge=_SHORTEST_RETENTION, description="how long frames are kept")
    frames_retention_bytes: ByteSize = Field(
        ByteSize(2048 * _MIB), ge=_MIB, description="and how many bytes a partition"
    )
    results_retention: Duration = Field(
        _duration("7d"), ge=_SHORTEST_RETENTION, description="how long results and dead letters are kept"
    )


class SourceSettings(Group):
    """What is seen, how fast, and how it is encoded."""

    source: str | None = Field(
        None,
        min_length=1,
        description="what it sees: a video file, rtsp:// or http:// URL, usb:0, an image, directory or glob of images, "
        "synthetic:workpiece",
        json_schema_extra={"holds_credentials": True},
    )
    fps: float | None = Field(None, gt=0, le=1000, description="frames per second (default: the source's own, else 25)")
    frames: int | None = Field(None, ge=1, description="stop after so many frames")
    loop: bool = Field(default=False, description="begin again at the end of the source")
    short_side: int = Field(256, ge=16, le=8192, description="shrink frames to this many pixels on the short side")
    quality: int = Field(85, ge=1, le=100, description="JPEG quality of frames that have to be encoded")


class CameraSettings(SourceSettings):
    """One camera: what it sees, how fast, and what it sends."""

    camera: str | None = Field(
        None, min_length=1, max_length=200, description="the camera's name, the key of its frames"
    )


class ProduceSettings(Group):
    """A process full of cameras."""

    cameras: Path | None = Field(None, description="a TOML file with a [[camera]] table for each camera")
    buffer_bytes: ByteSize = Field(
        ByteSize(64 * _MIB), ge=_MIB, description="unsent frames kept while the broker is behind, all cameras together"
    )
    source_timeout: Duration = Field(_duration("10s"), description="how long a network source may keep silent")


class ModelStoreSettings(Group):
    """Where models are kept under names of their own."""

    model_store: Path | None = Field(
        None, description="the directory of the model store (default: models, in the state directory)"
    )


class ModelDescriptionSettings(Group):
    """What a model's file does not say about itself."""

    model_labels: Path | None = Field(None, description="a text file with one label a line (default: the model's own)")
    model_short_side: int | None = Field(
        None, ge=1, le=8192, description="resize so that the short side has so many px"
    )
    model_mean: Numbers | None = Field(None, description="mean per channel, 0-1 scale, such as 0.485,0.456,0.406")
    model_std: Numbers | None = Field(None, description="standard deviation per channel, 0-1 scale")
    model_layout: Literal["NCHW", "NHWC"] | None = Field(None, description="the input's order of axes")
    model_activation: Literal["softmax", "none"] | None = Field(
        None, description="what turns the output into probabilities (default: found out by a trial run)"
    )


class ModelSettings(ModelDescriptionSettings, ModelStoreSettings):
    """The model, and what its file does not say about itself."""

    model: str | None = Field(
        None,
        min_length=1,
        description="a classifier: its path (.onnx, a QPC), or its name in the model store, which is followed "
        "(default: workpiece, the built-in one)",
    )


class ConsumeSettings(Group):
    """One consumer: its device, its batches, its group, its policy."""

    device: str = Field("0", min_length=1, max_length=100, description="the card, or a name for this consumer's group")
    standby: str | None = Field(
        None,
        min_length=1,
        description="what computes while the device is lost: cpu, a back end, BACKEND:DEVICE, or another device "
        "(default: nothing)",
    )
    standby_model: str | None = Field(
        None, min_length=1, description="the standby's model, where it cannot take the device's: the ONNX file of a QPC"
    )
    shadow: str | None = Field(
        None,
        min_length=1,
        description="a second model for the same frames, whose labels are compared and not published "
        "(a path, workpiece, or a name in the model store)",
    )
    batch_size: int = Field(8, ge=1, le=1024, description="frames in a micro-batch at the most")
    batch_timeout: Duration = Field(
        _duration("20ms"), ge=_duration("0ms"), le=_duration("60s"), description="a batch's first frame waits no longer"
    )
    latency_budget: Duration | None = Field(
        None,
        ge=_duration("1ms"),
        le=_duration("60s"),
        description="instead: a batch closes just in time for its frames' results to be this old, counted from capture "
        "(default: off)",
    )
    top: int = Field(5, ge=1, le=1000, description="classes in a result")
    group: str | None = Field(
        None, min_length=1, max_length=200, description="consumer group (default: streamer-device-<device>)"
    )
    start: str = Field(
        "earliest", alias="from", description="where a new group begins: earliest, latest or a time (RFC 3339)"
    )
    policy: Literal["every-frame", "freshest"] = Field(
        "every-frame", description="with a backlog: every frame, or only each camera's newest"
    )
    max_age: Duration | None = Field(None, description="frames older than this are skipped (default: off)")
    workers: int = Field(1, ge=1, le=256, description="worker processes that share the group and the device")
    session_timeout: Duration = Field(
        _duration("10s"), ge=_duration("1s"), description="a consumer that is silent for so long loses its partitions"
    )
    until_idle: Duration | None = Field(
        None, description="end when no frame came for this long, each worker by itself (default: never)"
    )
    max_in_flight: int = Field(256, ge=1, le=100_000, description="frames polled and not yet committed, at the most")
    max_in_flight_bytes: ByteSize = Field(ByteSize(64 * _MIB), ge=_MIB, description="and their bytes")
    decode_threads: int = Field(2, ge=1, le=64, description="micro-batches decoded at a time")
    max_frame_bytes: ByteSize = Field(ByteSize(8 * _MIB), ge=1024, description="larger frames are dead letters")
    max_frame_pixels: int = Field(40_000_000, ge=1024, description="frames with more pixels are dead letters")
    drain_timeout: Duration = Field(
        _duration("10s"), description="time to finish what is in flight when told to stop, or when partitions move"
    )
    delivery: Literal["at-least-once", "exactly-once"] = Field(
        "at-least-once", description="what a crash may do: repeat results, or nothing (dearer: see docs/delivery.md)"
    )
    commit_interval: Duration = Field(
        _duration("250ms"),
        ge=_duration("10ms"),
        le=_duration("60s"),
        description="offsets are committed so often; exactly-once publishes results then",
    )
    transaction_timeout: Duration = Field(
        _duration("30s"),
        ge=_duration("1s"),
        le=_duration("15m"),
        description="exactly-once: the broker ends a transaction that is open for longer",
    )
    assignor: Literal["range", "cooperative-sticky"] = Field(
        "range", description="how a group shares partitions; the same for all its workers"
    )
    static_membership: bool = Field(
        default=False, description="a worker that comes back in time keeps its partitions, without a rebalance"
    )
    max_poll_interval: Duration = Field(
        _duration("5m"), ge=_duration("1s"), description="a worker that holds a rebalance up for so long is left out"
    )
    state_directory: Path | None = Field(
        None, description="where workers note which of them they are (default: a directory of the user's)"
    )
    events: bool = Field(default=False, description="write what happens to frames to standard error, as JSON lines")
    dead_letter_share: float = Field(
        0.5, ge=0, le=1, description="end when more than this share of the last 1000 frames are dead letters; 0: never"
    )
    trace_slower_than: Duration | None = Field(
        _duration("500ms"),
        description="where traces are exported: frames that take longer, are skipped or dead-lettered are traced "
        "whatever the sampling ratio says",
    )
    dead_letter_run: int = Field(100, ge=0, description="end when so many frames in a row are dead letters; 0: never")


class ObservingSettings(Group):
    """How it is watched from outside."""

    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="serve /metrics (Prometheus), /healthz and /readyz on this port, 9464 by convention; 0 takes a "
        "free one (default: off)",
    )
    metrics_host: str = Field("127.0.0.1", min_length=1, description="the address of that port")
    log_format: Literal["text", "json"] = Field("text", description="how log lines are written to standard error")


class EngineSettings(Group):
    """What computes, and how much of it at a time."""

    backend: str | None = Field(
        None,
        description="onnxruntime, openvino, qaic, qnn, qai_hub, tinygrad or simulator "
        "(default: qaic where its SDK and a card are, else onnxruntime)",
    )
    activations: int | None = Field(
        None, ge=1, le=1024, description="instances of the network on the device (default: what suits the back end)"
    )
    set_size: int | None = Field(
        None, ge=1, le=1024, description="inferences in flight for each of them (default: the back end's)"
    )
    inference_threads: int | None = Field(
        None, ge=1, le=256, description="CPU threads of one inference (default: beside decoding 1, else all cores)"
    )
    options_path: Path | None = Field(
        None, description="a YAML file of Session keywords, such as aic_num_cores; flags win"
    )
    data_path_timeout: Duration | None = Field(
        None,
        ge=_duration("1ms"),
        le=_duration("168h"),
        description="a device that is silent for so long is given up (default: 60s)",
    )
    row: str | None = Field(
        None, min_length=1, description="the card that the simulator is, such as resnet50/best-throughput"
    )
    compute: Literal["real", "none"] | None = Field(
        None, description="whether the simulator computes answers or takes the time alone (default: real)"
    )


class BenchmarkSettings(Group):
    """How much is run."""

    device: str | None = Field(None, min_length=1, description="the back end's own name for it: cpu, cuda:0, a card")
    num_inferences: int | None = Field(None, ge=1, description="how many batches to run (default: 40)")
    time: Seconds | None = Field(None, gt=_duration("0ms"), description="for how long to run instead")


class BrokerSettings(Group):
    """The Kafka broker on this machine."""

    port: int = Field(9092, ge=0, le=65535, description="port on 127.0.0.1; 0 takes a free one")
    data_directory: Path | None = Field(None, description="where its data stays (default: a directory of the user's)")
    nodes: Annotated[Literal[1, 3], TextAsNumber] = Field(
        1, description="1, or 3 for a cluster that survives the loss of one"
    )
    heap_mb: int = Field(512, ge=128, le=65536, description="Java heap of each node in MB")


class DemoSettings(Group):
    """The demo on this machine."""

    cameras: int = Field(4, ge=1, le=64, description="cameras, each a process of `streamer produce`")
    fps: float = Field(25, gt=0, le=1000, description="frames per second of each camera")
    seconds: Seconds = Field(_duration("10s"), gt=_duration("0ms"), description="how long the cameras run")


class PlanSettings(Group):
    """What is asked of a site."""

    cameras: int | None = Field(None, ge=1, le=10_000_000, description="how many cameras")
    fps: float = Field(5, gt=0, le=1000, description="frames per second of each camera")
    model: str | None = Field(
        None, min_length=1, description="the model's name in the published figures, such as resnet50"
    )
    objective: Literal["best-throughput", "best-latency", "balanced"] | None = Field(
        None,
        description="how it is compiled for the card; a model has figures of one or two of them (default: whichever "
        "needs the fewest cards)",
    )
    latency_budget: Duration = Field(
        _duration("200ms"),
        ge=_duration("1ms"),
        le=_duration("60s"),
        description="99 % of the results are no older, counted from capture",
    )
    drop_rate: float = Field(0, ge=0, le=0.5, description="share of frames that may be skipped where too many come")
    headroom: float = Field(0.2, ge=0, le=0.9, description="share of each card and worker that stays free")
    short_side: int = Field(256, ge=16, le=8192, description="short side of the frames that are sent, in pixels")
    frame_bytes: ByteSize | None = Field(
        None, ge=100, le=8 * _MIB, description="size of an encoded frame (default: as such pictures have it)"
    )
    retention: Duration = Field(_duration("10m"), ge=_SHORTEST_RETENTION, description="how long Kafka keeps frames")
    decode_us: float | None = Field(
        None, gt=0, description="CPU of decoding a frame, in microseconds (default: measured here)"
    )
    stream_us: float | None = Field(
        None, gt=0, description="CPU of everything else for a frame, in microseconds (default: measured here)"
    )


class TokenSettings(Group):
    """What a server of ours wants to be told."""

    token: SecretStr | None = Field(None, description="what a client has to know")
    token_file: Path | None = Field(None, description="a file with the token, unless the environment has it")

    @model_validator(mode="after")
    def _token_stands_once(self) -> Self:
        """Refuse a token that is given twice."""
        if self.token is not None and self.token_file is not None:
            both = {"first": "token", "second": "token_file"}
            raise PydanticCustomError(GIVEN_TWICE, "give {first} or {second}, not both", both)
        return self


class WorkerSettings(TokenSettings):
    """A model for clients of the Open Inference Protocol v2."""

    model: str | None = Field(None, min_length=1, description="an .onnx file, an .npz, a QPC, or `workpiece`")
    model_name: str | None = Field(None, min_length=1, description="what clients call it (default: its file's name)")
    device: str | None = Field(None, min_length=1, description="AUTO, CPU, CUDA, OCL, or the back end's own name")
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen at; where other machines reach it, a token is made unless one is given",
    )
    port: int = Field(8070, ge=0, le=65535, description="its port; 0 takes a free one")
    batch_size: int = Field(8, ge=1, le=1024, description="rows in a batch, across all clients")
    batch_timeout: Duration = Field(
        _duration("5ms"), ge=_duration("0ms"), le=_duration("60s"), description="a request waits no longer for company"
    )
    max_queue_size: int = Field(256, ge=1, le=100_000, description="requests that are not answered yet, at the most")
    max_queue_bytes: ByteSize = Field(ByteSize(256 * _MIB), ge=_MIB, description="and their bytes")
    max_body_bytes: ByteSize = Field(ByteSize(64 * _MIB), ge=1024, description="larger requests are refused")
    max_connections: int = Field(256, ge=1, le=65_536, description="of clients; a further one is closed at once")


class PageSettings(TokenSettings):
    """Pages in the browser."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="address to listen at; one that other machines reach needs a token"
    )
    port: int = Field(0, ge=0, le=65535, description="its port; 0 takes a free one")
    allowed_host: Names = Field(
        (), description="names that browsers call it by, commas between (default: its address alone)"
    )


class DashboardSettings(PageSettings):
    """The dashboard in the browser."""

    port: int = Field(8050, ge=0, le=65535, description="its port; 0 takes a free one")


class ModelPageSettings(PageSettings):
    """Pages that take models."""

    max_upload_bytes: ByteSize = Field(ByteSize(512 * _MIB), ge=1024, description="larger files are refused")
    job_timeout: Seconds = Field(
        _duration("10m"), gt=_duration("0ms"), description="what works on a model for longer is ended"
    )
    job_memory: ByteSize = Field(
        ByteSize(8192 * _MIB), ge=512 * _MIB, description="memory that what works on a model may have"
    )


class ConverterSettings(ModelPageSettings):
    """The converter in the browser."""

    port: int = Field(7860, ge=0, le=65535, description="its port; 0 takes a free one")


class ManagerSettings(ModelPageSettings):
    """The model manager in the browser."""

    port: int = Field(7861, ge=0, le=65535, description="its port; 0 takes a free one")


class HubAccountSettings(Group):
    """The account at Qualcomm AI Hub."""

    profile: str | None = Field(
        None,
        pattern=r"^[\w.-]+$",
        description="~/.qai_hub/PROFILE.ini, as `qai-hub configure` wrote it (default: client.ini)",
    )


class HubModelsSettings(HubAccountSettings):
    """The models at Qualcomm AI Hub."""

    limit: int = Field(20, ge=1, le=10_000, description="models that are fetched at most, the newest first")


class HubSettings(HubModelsSettings):
    """What runs at Qualcomm AI Hub."""

    device: str | None = Field(None, min_length=1, description="its name there; `streamer hub devices` lists them")
    device_os: str = Field("", description="version of its system, or an interval such as [14,15) (default: any)")
    device_attributes: Names = Field((), description="what it must have, such as framework:onnx (default: any)")
    batch_size: int = Field(5, ge=1, le=64, description="jobs in flight at a time")
    target_runtime: str = Field(
        "onnx",
        pattern=r"^[a-z0-9_]+$",
        description="what is compiled for: onnx, tflite, qnn_dlc, qnn_context_binary, precompiled_qnn_onnx",
    )
    compile_options: str = Field(
        "", description="further ones, behind a = (default: none): --compile-options=--truncate_64bit_io"
    )
    job_options: str = Field("", description="behind a =, too (default: none): --job-options='--compute_unit npu'")
    job_timeout: Seconds = Field(
        _duration("30m"), gt=_duration("0ms"), description="a job that is not finished by then is given up"
    )
    poll_interval: Seconds = Field(_duration("5s"), ge=_duration("1ms"), description="time between two looks at a job")


class Settings(
    KafkaSettings,
    TopicSettings,
    CameraSettings,
    ProduceSettings,
    ModelSettings,
    ConsumeSettings,
    EngineSettings,
    ObservingSettings,
):
    """All settings of the program."""

    broker: BrokerSettings = BrokerSettings()
    demo: DemoSettings = DemoSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
    dashboard: DashboardSettings = DashboardSettings()
    converter: ConverterSettings = ConverterSettings()
    manager: ManagerSettings = ManagerSettings()
    worker: WorkerSettings = WorkerSettings()
    plan: PlanSettings = PlanSettings()
    hub: HubSettings = HubSettings()


#: Groups that stand in a table of their own, by the name of the table.
SECTIONS: dict[str, type[Group]] = {
    "broker": BrokerSettings,
    "demo": DemoSettings,
    "benchmark": BenchmarkSettings,
    "dashboard": DashboardSettings,
    "converter": ConverterSettings,
    "manager": ManagerSettings,
    "worker": WorkerSettings,
    "plan": PlanSettings,
    "hub": HubSettings,
}
