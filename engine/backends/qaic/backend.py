"""The back end `qaic`: Cloud AI 100 cards."""

import logging
import shlex
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from engine.backends.base import BackendOptions, OwnOptions
from engine.backends.network import Network
from engine.backends.qaic.command import compiler_keywords
from engine.backends.qaic.compiler import QaicCompiler
from engine.backends.qaic.devices import check_cards, is_device, list_cards, parse_device
from engine.backends.qaic.record import Record, read_record
from engine.backends.qaic.runtime import PROGRAM_STEPS, Placement, QaicNetwork
from engine.backends.qaic.sdk import Sdk, find_sdk, within
from engine.backends.qaic.vendor import Vendor, VendorError, load_vendor
from engine.backends.threaded import ThreadedBackend
from engine.errors import BackendError, DeviceNotFoundError, ModelError, OptionsError
from engine.models.files import QPC_FILE_NAME, ModelFile
from engine.options import SessionOptions

log = logging.getLogger(__name__)


class QaicOwn(OwnOptions):
    """What only this back end knows."""

    oversubscription_name: str | None = Field(
        None,
        min_length=1,
        description="taken for the vendor's Session, whose samples share AI cores among sessions of one name; "
        "how its runtime is told is not public, so each session has cores of its own",
    )
    extra_flags: str | None = Field(
        None, description="further flags of the compiler, as its command line takes them: for what no keyword says"
    )


class QaicBackend(ThreadedBackend):
    """Compiles models for Cloud AI 100 and runs them. `num_activations` × `set_size` inferences run at a time."""

    name = "qaic"
    kinds = frozenset({"onnx", "qpc", "tensorflow", "torch"})
    uses = frozenset(SessionOptions.model_fields) - {"enable_metrics", "enable_profiling"}
    Own = QaicOwn
    #: Source: quic/cloud-ai-sdk-pages docs/ONNXRT QAIC/onnxruntime.md.
    default_set_size = 10
    #: The driver itself gives up after a minute (control_resp_timeout); this is for one that does not.
    load_limit_s: ClassVar[float] = 300.0

    def __init__(self, sdk: Sdk | None = None) -> None:
        """Make it; nothing is opened yet.

        Args:
            sdk: Where the vendor's software is; None to find it.
        """
        super().__init__()
        self._given_sdk = sdk
        self._has_told = False

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is the number of a card, or of several."""
        return is_device(name)

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Compile a model, once for the same model and options; a QPC is taken as it is. See `Backend.compile`."""
        self.check_model(model)
        if model.kind == "qpc":
            return model
        try:
            extra_flags = shlex.split(options.own_of(QaicOwn).extra_flags or "")
        except ValueError as exc:
            raise OptionsError(f"extra_flags cannot be split into words: {exc}") from exc
        return QaicCompiler(self._sdk, extra_flags).compile(model, options.keywords, options.open_batch)

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load a program onto its cards; what is no program yet is compiled first. See `Backend.open`."""
        qids = parse_device(options.device, options.keywords.dev_id)
        vendor = load_vendor(self._sdk)
        state = self._check_cards(qids, None)
        file = self.compile(model, options)
        if file.path.name != QPC_FILE_NAME:
            raise ModelError(f"{file.path}: the runtime takes a directory with {QPC_FILE_NAME} in it: rename the file")
        record = read_record(file.path.parent)
        keywords = options.keywords
        placement = Placement(qids, *self.concurrency(options), options.data_path_timeout_s)
        cores = record.cores if record is not None else keywords.aic_num_cores
        if cores is not None:  # asked again, since compiling may have taken long
            state = self._check_cards(qids, cores * placement.activations)
        self._tell_once(model, options, record)
        copies = f"activations: {placement.activations}, AI cores of each: {cores or 'unknown'}"
        detail = f"{state}; {copies}, set size: {placement.set_size}"
        return self._activate(vendor, placement, file.path, record, detail)

    @property
    def _sdk(self) -> Sdk:
        return self._given_sdk if self._given_sdk is not None else find_sdk()

    def _check_cards(self, qids: tuple[int, ...], cores: int | None) -> str:
        """Return a line on the cards; what cannot be asked is found out when the program is loaded."""
        try:
            cards = list_cards(self._sdk)
        except BackendError as exc:
            log.warning("%s", exc)
            return f"card {':'.join(map(str, qids))}"
        check_cards(cards, qids, cores)
        return "; ".join(str(card) for card in cards if card.qid in qids)

    def _activate(
        self, vendor: Vendor, placement: Placement, qpc: Path, record: Record | None, detail: str
    ) -> QaicNetwork:
        network = QaicNetwork(vendor, placement)
        metadata = record.metadata if record is not None else {}
        where = f"card {':'.join(map(str, placement.qids))}"

        def load() -> QaicNetwork:
            network.load(qpc.parent, metadata, detail)
            return network

        try:
            return within(self.load_limit_s, where, load, QaicNetwork.unload)
        except TimeoutError as exc:
            raise DeviceNotFoundError(f"{qpc} cannot be loaded: {exc}; the card may have to be reset") from exc
        except VendorError as exc:
            if exc.step in PROGRAM_STEPS:
                raise ModelError(f"{qpc} is no program that this SDK can read: {exc}") from exc
            raise DeviceNotFoundError(f"{where} cannot take {qpc}: {exc} ({detail})") from exc

    def _tell_once(self, model: ModelFile, options: BackendOptions, record: Record | None) -> None:
        """Say what is taken and has no effect."""
        if self._has_told:
            return
        self._has_told = True
        unused = compiler_keywords(options.keywords) if model.kind == "qpc" and record is None else []
        if unused:
            log.warning("%s is compiled already: %s is without effect", model.path, ", ".join(unused))
        own = options.own_of(QaicOwn)
        if own.oversubscription_name is not None:
            log.warning(
                "oversubscription_name %s is without effect: how the vendor's runtime is told, and how it orders the "
                "work of those who share AI cores, is not public",
                own.oversubscription_name,
            )
