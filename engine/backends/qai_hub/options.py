"""What only the back end `qai_hub` knows."""

from pydantic import Field

from engine.backends.base import OwnOptions
from engine.options import Texts


class QaiHubOwn(OwnOptions):
    """Keywords of the back end `qai_hub`."""

    profile: str | None = Field(
        None, description="~/.qai_hub/PROFILE.ini instead of client.ini, or of what QAIHUB_CLIENT_INI names"
    )
    device_os: str = Field("", description="version of the device's system, or an interval such as [14,15)")
    device_attributes: Texts = Field((), description="what the device must have, such as framework:onnx")
    target_runtime: str = Field(
        "onnx",
        pattern=r"^[a-z0-9_]+$",
        description="what is compiled for: onnx, tflite, qnn_dlc, qnn_context_binary, precompiled_qnn_onnx",
    )
    compile_options: str = Field("", description="further options of the compile jobs, as AI Hub documents them")
    job_options: str = Field("", description="options of the inference jobs, such as --compute_unit npu")
    job_timeout: float = Field(1800.0, gt=0, description="seconds after which a job that is not finished is given up")
    poll_interval: float = Field(5.0, gt=0, description="seconds between two looks at a job")
