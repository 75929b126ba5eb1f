"""CPU time that the synthetic camera takes: to start, and for each frame. No JPEG compression is counted.

python benchmarks/synthetic_render.py [--size 256] [--frames 300] [--rounds 5]
"""

import argparse
import json
import statistics
import time

from producers.sources.synthetic.workpiece import WorkpieceRenderer


def main() -> None:
    """Run as a command; the last line is JSON."""
    parser = argparse.ArgumentParser(description="CPU time of the synthetic camera.")
    parser.add_argument("--size", type=int, default=256, help="side of a frame in px")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5, help="renderers, each with a seed of its own")
    arguments = parser.parse_args()
    starts_s, frames_ms = [], []
    for seed in range(arguments.rounds):
        begun = time.process_time()
        renderer = WorkpieceRenderer(seed, arguments.size)
        ready = time.process_time()
        for _ in range(arguments.frames):
            renderer.render()
        starts_s.append(ready - begun)
        frames_ms.append((time.process_time() - ready) / arguments.frames * 1e3)
        print(f"seed {seed}: start {starts_s[-1]:.3f} s, frame {frames_ms[-1]:.3f} ms of CPU")
    report = {
        "size_px": arguments.size,
        "frames": arguments.frames,
        "start_cpu_s": {"median": statistics.median(starts_s), "max": max(starts_s)},
        "frame_cpu_ms": {"median": statistics.median(frames_ms), "max": max(frames_ms)},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
