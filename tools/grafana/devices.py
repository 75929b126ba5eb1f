"""The dashboard of consumers and their devices."""

from tools.grafana.panels import Json, Line, Query, dashboard, heatmap, lines, stat, states, variable
from tools.grafana.promql import increase, mean, quantile, rate

_CHOSEN = 'group=~"$group", device=~"$device"'
_FRAMES = rate("streamer_frames_total", _CHOSEN)
_CLASSIFIED = rate("streamer_frames_total", f'{_CHOSEN}, outcome=~"classified|timed"')
_LATENCY = "streamer_frame_end_to_end_duration_seconds"
_DEVICE = "{{group}} {{device}}"
_WORKER = "{{group}} {{device}}/{{worker}}"


def devices() -> Json:
    """Return the dashboard: throughput, latency by part, batches, queues, Kafka."""
    choices = [
        variable("group", "Group", "label_values(streamer_device_ready, group)", "Consumer groups"),
        variable("device", "Device", 'label_values(streamer_device_ready{group=~"$group"}, device)', "Their devices"),
    ]
    return dashboard(
        "streamer-devices",
        "streamer: devices",
        "Consumers and their devices: throughput, latency by part, batches, queues, Kafka.",
        choices,
        [
            *(_glance(), _throughput(), _latency(), _parts(), _batches(), _ready()),
            *(_models(), _queues(), _behind(), _group()),
        ],
    )


def _glance() -> Line:
    dead = rate("streamer_frames_total", f'{_CHOSEN}, outcome="dead-lettered"')
    panels = [
        stat("Classified", Query(f"sum({_CLASSIFIED})", "classified"), "Frames per second with a result.", "cps"),
        stat(
            "Latency, 95 %",
            Query(quantile(0.95, _LATENCY, _CHOSEN), "95 %"),
            "From capture to acknowledged result; one frame in twenty takes longer.",
            "s",
            ((None, "green"), (0.5, "orange"), (2, "red")),
        ),
        stat(
            "Lag",
            Query(f"sum(streamer_consumer_lag{{{_CHOSEN}}})", "lag"),
            "Frames that are not read yet.",
            thresholds=((None, "green"), (100, "orange"), (500, "red")),
        ),
        stat(
            "Loss horizon",
            Query(f"min(streamer_consumer_loss_horizon_seconds{{{_CHOSEN}}})", "horizon"),
            "How soon retention deletes the first unread frame, at this pace; empty where none will be.",
            "s",
            ((None, "red"), (300, "orange"), (600, "green")),
        ),
        stat(
            "Device at work",
            Query(f"avg(streamer_device_utilisation_ratio{{{_CHOSEN}}})", "at work"),
            "Share of the time in which the device had work.",
            "percentunit",
            ((None, "green"), (0.9, "orange")),
            limits=(0, 1),
        ),
        stat(
            "Dead letters",
            Query(f"sum({dead}) / sum({_FRAMES})", "share"),
            "Share of frames that cannot be classified; the alert begins at 1 %.",
            "percentunit",
            ((None, "green"), (0.001, "orange"), (0.01, "red")),
        ),
    ]
    return Line("At a glance", panels, 4)


def _throughput() -> Line:
    with_reason = rate("streamer_frames_total", f'{_CHOSEN}, reason!=""')
    panels = [
        lines(
            "Outcomes",
            [Query(f"sum by (outcome) ({_FRAMES})", "{{outcome}}")],
            "What became of the frames, per second.",
            "cps",
            is_stacked=True,
        ),
        lines(
            "Classified by worker",
            [Query(f"sum by (group, device, worker) ({_CLASSIFIED})", _WORKER)],
            "Workers of one group share the frames; another group sees every frame, too.",
            "cps",
        ),
        lines(
            "Skipped and dead letters by reason",
            [Query(f"sum by (outcome, reason) ({with_reason})", "{{outcome}}: {{reason}}")],
            "Frames per second that were not classified, and why.",
            "cps",
            is_stacked=True,
        ),
    ]
    return Line("Throughput", panels)


def _latency() -> Line:
    panels = [
        lines(
            "From capture to result",
            [
                Query(quantile(0.5, _LATENCY, _CHOSEN), "50 %"),
                Query(quantile(0.95, _LATENCY, _CHOSEN), "95 %", has_exemplars=True),
                Query(quantile(0.99, _LATENCY, _CHOSEN), "99 %"),
            ],
            "The points are frames with a trace: a click leads to it.",
            "s",
        ),
        lines(
            "Where the time goes",
            [Query(mean("streamer_batch_part_duration_seconds", _CHOSEN, "part"), "{{part}}")],
            "Means of the parts; their sum is the mean latency up to the hand-over of the result.",
            "s",
            is_stacked=True,
        ),
        heatmap(
            "How latencies are spread",
            Query(
                f"sum by (le) ({increase(f'{_LATENCY}_bucket', _CHOSEN)})",
                "{{le}}",
                has_exemplars=True,
                format="heatmap",
            ),
            "Frames by latency; two bands mean two kinds of frames, or of devices.",
            "s",
        ),
    ]
    return Line("Latency", panels, 9)


def _parts() -> Line:
    batch = "messaging_process_duration_seconds"
    panels = [
        lines(
            "Parts, 95 %",
            [Query(quantile(0.95, "streamer_batch_part_duration_seconds", _CHOSEN, "part"), "{{part}}")],
            "The slow batches of each part.",
            "s",
        ),
        lines(
            "A micro-batch, from decoding to labels",
            [
                Query(quantile(0.5, batch, _CHOSEN, "group", "device"), f"{_DEVICE}: 50 %"),
                Query(quantile(0.95, batch, _CHOSEN, "group", "device"), f"{_DEVICE}: 95 %", has_exemplars=True),
            ],
            "How long a whole batch takes.",
            "s",
        ),
        lines(
            "Not traced",
            [
                Query(
                    f"sum by (group, worker) ({rate('streamer_traces_dropped_total', _CHOSEN)})", "{{group}}/{{worker}}"
                )
            ],
            "Slow, skipped or dead-lettered frames per second beyond what is traced.",
            "cps",
        ),
    ]
    return Line("", panels)


def _batches() -> Line:
    padding, rows = (
        f"sum by (group, device) ({rate(name, _CHOSEN)})"
        for name in ("streamer_engine_padded_rows_total", "streamer_engine_rows_total")
    )
    panels = [
        lines(
            "Frames in a micro-batch",
            [Query(mean("streamer_batch_size", _CHOSEN, "group", "device"), _DEVICE)],
            "Far under --batch-size the device has time left; a longer --batch-timeout fills batches.",
            width=6,
        ),
        lines(
            "Rows without a frame",
            [Query(f"{padding} / ({padding} + {rows})", _DEVICE)],
            "Share of a fixed batch's rows that the device works on for nothing.",
            "percentunit",
            limits=(0, 1),
            width=6,
        ),
        lines(
            "Device at work",
            [Query(f"streamer_device_utilisation_ratio{{{_CHOSEN}}}", _WORKER)],
            "Share of the time in which the device had work. At 1 it is the bottleneck.",
            "percentunit",
            limits=(0, 1),
            width=6,
        ),
        lines(
            "Batches on the device",
            [
                Query(f"sum by (group, device) (streamer_device_activations{{{_CHOSEN}}})", f"{_DEVICE}: now"),
                Query(f"sum by (group, device) (streamer_device_slots{{{_CHOSEN}}})", f"{_DEVICE}: at the most"),
            ],
            "As many at a time as activations × set size.",
            width=6,
        ),
    ]
    return Line("Batches and device", panels)


def _ready() -> Line:
    lost = increase("streamer_engine_devices_lost_total", _CHOSEN)
    panels = [
        states(
            "Device ready",
            Query(f"min by (group, device, worker) (streamer_device_ready{{{_CHOSEN}}})", _WORKER),
            "Red: it cannot be given work, and is probed until it is back.",
            ("not ready", "ready"),
            width=12,
        ),
        lines(
            "Devices given up",
            [Query(f"sum by (group, device, streamer_backend) ({lost})", f"{_DEVICE} ({{{{streamer_backend}}}})")],
            "Times that one was silent for too long, or broke; its frames went to the standby, or wait.",
            width=6,
        ),
        lines(
            "Workers of one command",
            [
                Query("streamer_workers_running", "{{instance}}: running"),
                Query("streamer_workers", "{{instance}}: asked for"),
                Query("streamer_worker_restarts_total", "{{instance}}: restarts"),
            ],
            "With --workers: how many there are, and how often one was started again.",
            width=6,
        ),
    ]
    return Line("", panels, 7)


def _models() -> Line:
    changes = increase("streamer_model_changes_total", _CHOSEN)
    panels = [
        lines(
            "Workers by model",
            [Query(f"sum by (model, digest) (streamer_model{{{_CHOSEN}}})", "{{model}} {{digest}}")],
            "Where a name of the model store is followed, workers take another version within a second or two.",
            is_stacked=True,
        ),
        lines(
            "Model changes",
            [Query(f"sum by (group, outcome) ({changes})", "{{group}}: {{outcome}}")],
            "A version that fails to load leaves the one before it at work; the log says why.",
        ),
        lines(
            "Shadow model",
            [Query(f"sum by (outcome) ({rate('streamer_shadow_frames_total', _CHOSEN)})", "{{outcome}}")],
            "Frames per second whose best label a second model gives too, or not; and those that it did not get to.",
            "cps",
            is_stacked=True,
        ),
    ]
    return Line("Models", panels)


def _queues() -> Line:
    loop = rate("streamer_consumer_loop_seconds_total", _CHOSEN)
    panels = [
        lines(
            "Frames that wait, and in flight",
            [Query(f"sum by (group, device, queue) (streamer_queue_frames{{{_CHOSEN}}})", f"{_DEVICE}: {{{{queue}}}}")],
            "In flight: polled and not committed; those that wait are among them.",
        ),
        lines(
            "Their bytes",
            [
                Query(
                    f"sum by (group, device, queue) (streamer_queue_size_bytes{{{_CHOSEN}}})",
                    f"{_DEVICE}: {{{{queue}}}}",
                ),
                Query(f"sum by (group, device) (streamer_queue_limit_bytes{{{_CHOSEN}}})", f"{_DEVICE}: limit"),
            ],
            "At the limit (--max-in-flight-bytes) no more is polled.",
            "bytes",
        ),
        lines(
            "What the poll loop does",
            [Query(f"sum by (phase) ({loop}) / scalar(sum({loop}))", "{{phase}}")],
            "Mostly `poll`: it waits for frames. Mostly `back-pressure`: the device is too slow.",
            "percentunit",
            is_stacked=True,
            limits=(0, 1),
        ),
    ]
    return Line("Queues", panels)


def _behind() -> Line:
    lost = increase("streamer_consumer_frames_lost_total", _CHOSEN)
    horizon = f"min by (group, partition) (streamer_consumer_loss_horizon_seconds{{{_CHOSEN}}})"
    panels = [
        lines(
            "Lag by partition",
            [Query(f"sum by (group, partition) (streamer_consumer_lag{{{_CHOSEN}}})", "{{group}} {{partition}}")],
            "Frames that are not read yet.",
        ),
        lines(
            "Loss horizon",
            [Query(horizon, "{{group}} {{partition}}")],
            "How soon unread frames are deleted; empty where none will be.",
            "s",
            marks=((None, "red"), (300, "transparent")),
        ),
        lines(
            "Deleted before they were read",
            [Query(f"sum by (group, reason) ({lost})", "{{group}}: {{reason}}")],
            "Frames that nobody looked at.",
            is_stacked=True,
        ),
    ]
    return Line("Kafka", panels)


def _group() -> Line:
    calls = quantile(0.95, "messaging_client_operation_duration_seconds", _CHOSEN, "messaging_operation_name")
    polled = rate("messaging_client_consumed_messages_total", _CHOSEN)
    sent = rate("messaging_client_sent_messages_total", _CHOSEN)
    paused = rate("streamer_consumer_rebalance_paused_seconds_total", _CHOSEN)
    panels = [
        lines(
            "Calls to Kafka, 95 %",
            [Query(calls, "{{messaging_operation_name}}")],
            "Polls that returned frames, sends up to their acknowledgement, commits.",
            "s",
            width=6,
        ),
        lines(
            "Messages in and out",
            [
                Query(f"sum({polled})", "polled"),
                Query(f"sum by (messaging_destination_name) ({sent})", "to {{messaging_destination_name}}"),
            ],
            "Messages per second.",
            "cps",
            width=6,
        ),
        lines(
            "Rebalances",
            [
                Query(
                    f"sum by (group, worker) ({increase('streamer_consumer_rebalances_total', _CHOSEN)})",
                    "{{group}}/{{worker}}",
                ),
                Query(f"sum by (group, worker) ({paused})", "{{group}}/{{worker}}: share of time without partitions"),
            ],
            "Each time a worker comes, goes or is silent.",
            width=6,
        ),
        lines(
            "Frames from the future",
            [Query(f"sum by (group) ({rate('streamer_clock_skew_total', _CHOSEN)})", "{{group}}")],
            "Per second; above 0 a camera's clock is ahead.",
            "cps",
            width=6,
        ),
    ]
    return Line("", panels)
