"""What Schemathesis cannot draw by itself: the bytes of a CAR."""
import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

CAR = Path(os.environ["KNOWN_CAR"]).read_bytes()

# Sound, cut short, and with a byte that is not its own: what is sent most must be taken.
cars = st.one_of(
    st.just(CAR),
    st.integers(0, len(CAR)).map(lambda at: CAR[:at]),
    st.integers(0, len(CAR) - 1).map(lambda at: CAR[:at] + bytes([CAR[at] ^ 1]) + CAR[at + 1 :]),
)
for media_type in ("application/vnd.ipld.car", "application/car"):
    schemathesis.openapi.media_type(media_type, cars)
