"""Byte-plane images: the error bound, the bytes, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dhs.encoding import HEADER, decode, encode, integers, quantise

STEP = np.array([0.001, 0.002, 0.003])


def plain_decode(blob):
    """The formula of the module's docstring, with numpy alone."""
    header = np.frombuffer(blob[: HEADER.itemsize], HEADER)[0]
    side = int(header["side"])
    planes = np.frombuffer(blob[HEADER.itemsize :], np.uint8).reshape(header["planes"], 3, side, side).astype(np.int64)
    u = sum(plane << (8 * k) for k, plane in enumerate(planes))
    q = u + header["zero"].astype(np.int64)[:, None, None]
    return (q * header["step"].astype(np.float64)[:, None, None]).astype(np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrays(np.float32, (3, 8, 8), elements=st.floats(-2.0, 2.0, width=32)),
    st.sampled_from([1e-3, 1.0, 300.0, 1e5]),
)
def test_error_is_at_most_half_a_step(image, scale):
    image = image * np.float32(scale)
    blob = encode(image, STEP)
    back = decode(pa.array([blob]))[0]
    rounding = np.spacing(np.abs(image).max())
    assert (np.abs(back - image) <= 0.5001 * STEP[:, None, None] + rounding).all()
    assert np.array_equal(back, plain_decode(blob))
    assert np.array_equal(back, quantise(image, STEP))
    assert encode(back, STEP) == blob  # what is stored stays as it is


def test_a_column_mixes_depths_and_nulls_and_slices():
    rng = np.random.default_rng(1)
    images = rng.normal(0, 0.01, (4, 3, 16, 16)).astype(np.float32)
    images[1] *= 100
    images[2, 0, 3, 3] = 900.0
    blobs = [encode(i, STEP) for i in images]
    assert [(len(b) - HEADER.itemsize) // 768 for b in blobs] == [1, 2, 3, 1]
    column = pa.array([b"", None, *blobs, None], pa.binary())[2:]
    back = decode(column)
    assert back.shape == (5, 3, 16, 16) and (back[4] == 0).all()
    for image, other in zip(images, back):
        assert np.abs(image - other).max() < 0.002
    assert decode(pa.array([None, None], pa.binary())).shape[0] == 2


@pytest.mark.parametrize(
    "image, step, message",
    [
        (np.full((3, 4, 4), np.nan), STEP, "not finite, or beyond 2\\^31 quantisation steps"),
        (np.full((3, 4, 4), 1e9), STEP, "not finite, or beyond"),
        (np.zeros((3, 4, 5)), STEP, "shape \\(3, n, n\\), not \\(3, 4, 5\\)"),
        (np.zeros((3, 4, 4)), [1.0, 0.0, 1.0], "positive and finite"),
    ],
)
def test_what_cannot_be_encoded_is_refused(image, step, message):
    with pytest.raises(ValueError, match=message):
        encode(image, step)


def test_damaged_blobs_are_refused():
    blob = encode(np.ones((3, 8, 8)), STEP)
    for bad, message in (
        (blob[:-1], "cut short or has bytes to spare"),
        (blob[:10], "cut short"),
        (b"\x07" + blob[1:], "encoding 7; this version reads 1"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(pa.array([bad]))
    with pytest.raises(ValueError, match="different sizes"):
        decode(pa.array([blob, encode(np.ones((3, 4, 4)), STEP)]))


def test_integers_multiply_out_to_what_is_decoded():
    rng = np.random.default_rng(2)
    stored = rng.normal(0, 0.01, (4, 3, 16, 16)).astype(np.float32)
    stored[1] *= 100
    stored[2, 0, 3, 3] = 900.0
    column = pa.array([b"", *(encode(i, STEP) for i in stored)], pa.binary())[1:]
    found = integers(column)
    whole = found.low.astype(np.int64) + 65536 * found.high.astype(np.int64) + found.zero[..., None, None]
    values = (whole * found.step.astype(np.float64)[..., None, None]).astype(np.float32)
    assert np.array_equal(values, decode(column)) and found.high.any()
    with pytest.raises(ValueError, match="a null"):
        integers(pa.array([None], pa.binary()))
    stored[0, 0, 0, 0] = 2e4
    with pytest.raises(ValueError, match="four byte planes"):
        integers(pa.array([encode(stored[0], STEP)]))
