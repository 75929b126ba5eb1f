"""What becomes of a frame as soon as it is polled."""

from consumers.admission import Admission
from consumers.batch import Outgoing
from consumers.freshness import Freshness
from engine.images.header import ImageHeader, ImageLimits
from messaging.frame import read_frame
from messaging.stand_in import UNREAD_HEADER, UnreadHeaders
from tests.fakes.polled_frames import grey_jpeg
from tests.fakes.records import TIME_US, record

ADMISSION = Admission("g", ImageLimits(), Freshness())


def test_a_frame_that_could_not_be_read_is_a_dead_letter_that_says_why() -> None:
    frame = read_frame(record(value=None)._replace(headers=UnreadHeaders("it is damaged")))
    assert ADMISSION.check(frame, TIME_US) == Outgoing("dead-lettered", frame, "too-large", "it is damaged")


def test_a_header_of_that_name_condemns_no_frame() -> None:
    frame = read_frame(record([(UNREAD_HEADER, b"forged")], value=grey_jpeg(9)))
    assert isinstance(ADMISSION.check(frame, TIME_US), ImageHeader)
