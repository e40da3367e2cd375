"""Damaged and arbitrary bytes at every door: refused in words or read; never a crash, a hang or a flood of memory."""

import gzip
import io
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.io import fits
from cutout_samples import channel_first, npz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plants_cutouts import service

from dhs.config import load_profile
from dhs.errors import DhsError, InputRefused
from dhs.models import checkpoints
from dhs.survey.hosts.cutouts import read_cutout
from dhs.survey.hosts.targets import read_targets
from dhs.survey.lenses.catalogues import read_catalogue
from dhs.survey.lenses.lens_list import first_number

GIGABYTE = 1 << 30
EXAMPLES = settings(max_examples=60, deadline=20_000, suppress_health_check=list(HealthCheck), derandomize=True)


def parquet_bytes() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"ra": np.linspace(10, 20, 50), "dec": np.linspace(-5, 5, 50)}), stream)
    return stream.getvalue()


def fits_table() -> bytes:
    stream = io.BytesIO()
    fits.BinTableHDU.from_columns([fits.Column(n, "D", array=np.ones(20)) for n in ("ra", "dec")]).writeto(stream)
    return stream.getvalue()


def fits_cube(**kind) -> bytes:
    stream = io.BytesIO()
    if kind:
        hdu = service()[0]
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(hdu.data, hdu.header, **kind)]).writeto(stream)
    else:
        service(invvar=np.ones((3, 80, 80), np.float32) * 1e5, maskbits=np.zeros((80, 80), np.int16)).writeto(stream)
    return stream.getvalue()


CSV = b"name,ra,dec,z_phot\nA,150.1,2.2,0.4\nB,10.5,-3.25,0.7\n"
PROFILE = yaml.safe_dump(load_profile("smoke").model_dump(mode="json")).encode()
DOORS = {
    "a.npz": (read_cutout, npz(**channel_first(invvar=np.full((3, 80, 80), 1e5)))),
    "b.npz.gz": (read_cutout, gzip.compress(npz(**channel_first()), 1)),
    "c.fits": (read_cutout, fits_cube()),
    "d.fits.fz": (read_cutout, fits_cube(compression_type="RICE_1")),
    "e.csv": (read_catalogue, CSV),
    "f.csv": (read_targets, CSV),
    "g.parquet": (read_targets, parquet_bytes()),
    "h.fits": (read_targets, fits_table()),
    "i.yaml": (load_profile, PROFILE),
    "j.pt": (checkpoints.load, b""),
}

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "zero"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.binary(min_size=1, max_size=24),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, changes) -> bytes:
    """Bytes after a few edits; half of them fall among the first kilobyte, where headers are."""
    for i, (kind, where, n, new) in enumerate(changes):
        at = int(where * (min(len(data), 1000) if i % 2 else len(data)))
        if kind == "flip":
            data = data[:at] + bytes(b ^ (n | 1) for b in data[at : at + n]) + data[at + n :]
        elif kind == "cut":
            data = data[:at] if n % 2 else data[:at] + data[at + n :]
        elif kind == "insert":
            data = data[:at] + new + data[at:]
        elif kind == "repeat":
            data = data[:at] + data[at : at + n] * 3 + data[at + n :]
        else:
            data = data[:at] + bytes(n) + data[at + n :]
    return data


@pytest.fixture
def folder(tmp_path):
    """A folder, and an address space that a flood of memory does not fit in."""
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIGABYTE, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_AS, before)


def met(reader, path):
    """Read, and allow no end but a result or a refusal in words."""
    try:
        reader(str(path))
    except InputRefused as error:
        assert error.refusal.code and error.refusal.message and error.refusal.remedy
    except DhsError as error:
        assert str(path) in str(error) and "\n" not in str(error).split(": not YAML")[0]


@pytest.mark.parametrize("name", list(DOORS)[:-1])
@EXAMPLES
@given(changes=edits)
def test_a_damaged_file(folder, name, changes):
    reader, data = DOORS[name]
    (folder / name).write_bytes(edited(data, changes))
    met(reader, folder / name)


@pytest.mark.parametrize("name", list(DOORS))
@EXAMPLES
@given(
    start=st.sampled_from([b"", b"PK\x03\x04", b"SIMPLE  =", b"\x1f\x8b\x08", b"PAR1", b"ra,dec\n"]), rest=st.binary()
)
def test_arbitrary_bytes(folder, name, start, rest):
    (folder / name).write_bytes(start + rest)
    met(DOORS[name][0], folder / name)


numbers = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.text(max_size=8), st.none(), st.booleans())


@EXAMPLES
@given(content=st.dictionaries(st.sampled_from(["ra", "dec", "pixscale", "z_phot", "host_id", "exptime"]), numbers))
def test_a_value_of_any_type_under_a_known_key(folder, content):
    stream = io.BytesIO()
    np.savez(stream, **(channel_first() | content))
    (folder / "a.npz").write_bytes(stream.getvalue())
    met(read_cutout, folder / "a.npz")


SECTIONS = ("hosts", "sources", "injection", "splits", "preflight", "train", "evaluate", "seed", "name")


@EXAMPLES
@given(
    data=st.dictionaries(st.sampled_from(SECTIONS), st.one_of(numbers, st.dictionaries(st.text(max_size=9), numbers)))
)
def test_a_profile_of_any_content(folder, data):
    (folder / "p.yaml").write_text(yaml.safe_dump(data))
    met(load_profile, folder / "p.yaml")


@EXAMPLES
@given(text=st.text(alphabet="0123456789.|-+eE?:~<>L not", max_size=40))
def test_a_redshift_field_of_any_text(text):
    value = first_number(text)
    assert np.isnan(value) or 0 < value <= 5
