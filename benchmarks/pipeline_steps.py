"""The vendor's example of four cameras: what the pipeline predicts in each configuration, beside what it does.

Preprocessing takes 48.8 ms, the model 28 ms for one picture and 40 ms for four, postprocessing 3 ms; all of them wait,
as for a device, so that the figures are of the pipeline and not of this machine's cores. The advice for the wanted
rates is made from the first configuration's measurements.
"""

import time
from typing import Any

from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step

_PREPROCESSING_S = 0.0488
_POSTPROCESSING_S = 0.003
#: T(b) through the two points of the example.
_MODEL_BASE_S, _MODEL_ITEM_S = 0.024, 0.004
#: Threads of preprocessing, and the model's batch.
_CONFIGURATIONS = ((1, 1), (2, 1), (2, 4), (5, 4))
_TARGETS_FPS = (35.0, 100.0)
_SECONDS = 6.0


def preprocess(item: Any) -> Any:
    """Take as long as the example's first step."""
    time.sleep(_PREPROCESSING_S)
    return item


def classify(items: list[Any]) -> list[Any]:
    """Take as long as the example's model does for so many."""
    time.sleep(_MODEL_BASE_S + _MODEL_ITEM_S * len(items))
    return items


def postprocess(item: Any) -> Any:
    """Take as long as the example's last step."""
    time.sleep(_POSTPROCESSING_S)
    return item


def pipeline_of(parallel_steps: int, max_batch_size: int) -> Pipeline:
    """Return the example's pipeline, in one configuration."""
    classification = Step("classification", classify, 4)
    classification.set_max_batch_size(max_batch_size)
    return Pipeline(
        [
            Step("preprocessing", preprocess, parallel_steps=parallel_steps),
            classification,
            Step("postprocessing", postprocess),
        ]
    )


def measure(pipeline: Pipeline) -> float:
    """Return items per second, between the first outcome and the last."""
    expected = pipeline.steps[0].parallel_steps / _PREPROCESSING_S
    stamps = [time.perf_counter() for _ in pipeline.run(range(round(min(expected, 100.0) * _SECONDS)))]
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def main() -> None:
    """Measure and print."""
    print(f"{'preprocessing':>13}  {'batch':>5}  {'predicted fps':>13}  {'measured fps':>12}  {'ratio':>5}  bottleneck")
    for parallel_steps, max_batch_size in _CONFIGURATIONS:
        with pipeline_of(parallel_steps, max_batch_size) as pipeline:
            measured_fps = measure(pipeline)
            statistics = pipeline.statistics()
        predicted_fps = statistics.predicted_fps or 0.0
        print(
            f"{parallel_steps:>13}  {max_batch_size:>5}  {predicted_fps:>13.1f}  {measured_fps:>12.1f}  "
            f"{measured_fps / predicted_fps:>5.3f}  {statistics.bottleneck}"
        )
    with pipeline_of(1, 4) as pipeline:
        preprocessing, classification, _ = pipeline.steps
        for parallel_steps, max_batch_size in ((5, 4), (1, 1)):  # both sizes are seen, as in a model's warm-up
            preprocessing.set_parallel_steps(parallel_steps)
            classification.set_max_batch_size(max_batch_size)
            measure(pipeline)
        for target_fps in _TARGETS_FPS:
            print(f"\nfor {target_fps:g} items/s\n{pipeline.advise(target_fps)}")


if __name__ == "__main__":
    main()
