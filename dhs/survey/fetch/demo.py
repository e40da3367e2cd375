"""``dhs fetch demo``: the real galaxies that may be passed on, from public repositories at fixed commits.

What is fetched stands in ``demo.json``: address, SHA-256, licence and acknowledgement of each file. The folder that is
filled is what ``DHS_DATA_DIR`` is to name.
"""

from __future__ import annotations

import csv
import io
import json
from importlib import resources
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.errors import DhsError
from dhs.survey.fetch.download import Wanted, download_all

ATTRIBUTION = "ATTRIBUTION.txt"
DES_COUNTS = 1000.0  # a nanomaggy at the DES coadds' zero point of 30
DES_SCALE = 0.263  # arcsec


def sets() -> dict:
    """What is fetched, as it ships."""
    return json.loads((resources.files("dhs.survey.fetch") / "demo.json").read_text())


def demo(folder: Path, address: str | None, parallel: int, what: dict | None = None) -> list[str]:
    """Fetch all sets into a folder and write who made them.

    Parameters
    ----------
    folder : Path
    address : str, optional
        Another than that of ``demo.json``, with ``{repository}``, ``{commit}`` and ``{path}`` in it.
    parallel : int
    what : dict, optional
        Instead of `sets`.

    Returns
    -------
    list of str
        Files that are now there.

    Raises
    ------
    DhsError
        A file could not be had, or has another checksum; what came before is kept, and not asked for again.
    """
    what = what or sets()
    address = address or what["address"]
    wanted = [_wanted(folder, entry, address, name) for entry in what["sets"] for name in entry["files"]]
    errors = [error for error in download_all(wanted, "demo", parallel) if error is not None]
    if errors:
        raise errors[0]
    files = [item.path for item in wanted]
    for entry in what["sets"]:
        files += [_cube(folder / entry["folder"], entry["stars"])] if "stars" in entry else []
    storage.write_bytes(folder / ATTRIBUTION, attribution(what).encode())
    return [str(path) for path in [*files, folder / ATTRIBUTION]]


def _wanted(folder: Path, entry: dict, address: str, name: str) -> Wanted:
    path, sha256 = entry["files"][name]
    url = address.format(repository=entry["repository"], commit=entry["commit"], path=path)
    return Wanted(url, folder / entry["folder"] / name, sha256)


def _cube(folder: Path, stars: dict) -> Path:
    """The hosts as `dhs.survey.hosts.readers.cubes` reads them, with the stars that were measured in them."""
    from astropy.io import fits

    planes = []
    for band in "griz":
        with fits.open(folder / "upstream" / f"{band}.fits") as hdus:
            planes.append(np.asarray(hdus[0].data, np.float32) / np.float32(DES_COUNTS))
    if len({plane.shape for plane in planes}) != 1:
        raise DhsError(f"{folder}: the bands differ in shape. Remove the folder and fetch it again.")
    buffer, table = io.BytesIO(), io.StringIO()
    np.savez(buffer, image_nmgy=np.stack(planes, axis=1), bands=np.array(list("griz")), pixscale=DES_SCALE)
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("index", "star_fwhm_g", "star_fwhm_r", "star_fwhm_z", "star_snr_r"))
    rows.writerows((i, *stars.get(str(i), ("",) * 4)) for i in range(len(planes[0])))
    storage.write_bytes(folder / f"{folder.name}.csv", table.getvalue().encode())
    storage.write_bytes(folder / f"{folder.name}.npz", buffer.getvalue())
    return folder / f"{folder.name}.npz"


def attribution(what: dict) -> str:
    """Whose each set is, under which licence, and what to acknowledge; one paragraph a set."""
    return (
        "\n\n".join(
            f"{entry['folder']}: {entry['what']}.\nFrom {entry['repository']} at commit {entry['commit']}, licence "
            f"{entry['licence']} (LICENSE beside it).\n{entry['acknowledgement']}"
            for entry in what["sets"]
        )
        + "\n"
    )
