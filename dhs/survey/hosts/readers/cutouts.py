"""``cutouts``: a folder of cutout files, npz and FITS side by side, or one of them."""

from __future__ import annotations

from dataclasses import replace

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.hosts.cutouts import SUFFIXES, read_cutout
from dhs.survey.hosts.record import Found, HostRef, host_reader
from dhs.survey.hosts.stamp import HostStamp


@host_reader("cutouts")
class CutoutReader:
    """``spec`` is a file that ends like a cutout, or any other folder: each file is read once, to be checked."""

    def __init__(self, spec: str, seed: int):
        self.spec = spec

    @staticmethod
    def claims(config: HostsConfig) -> bool:
        return config.spec.endswith(SUFFIXES)

    def find(self, config: HostsConfig) -> Found:
        files, refusals = self._files()
        refs, mock = [], False
        for file in files:
            try:
                s = read_cutout(file)
            except InputRefused as error:
                refusals.append(error.refusal)
                continue
            # A folder of written mocks is mock, whatever it is called.
            mock |= "mock" in s.flags
            refs.append(HostRef(s.host_id, s.ra, s.dec, s.brickname, s.brick_ra, s.brick_dec, s.file, s.row, s.z_phot))
        return Found(refs, refusals, mock, kind="file" if is_cutout(self.spec) else "folder")

    def read(self, ref: HostRef) -> HostStamp:
        return replace(read_cutout(ref.file), host_id=ref.host_id)

    def _files(self) -> tuple[list[str], list[Refusal]]:
        """Cutouts, in sub-folders too, and the files that were passed over."""
        if not storage.exists(self.spec):
            raise DhsError(
                f"{self.spec}: no such file or folder. Give `mock`, a folder of cutouts, one cutout file, or a folder "
                "that holds the survey's coadd/."
            )
        if is_cutout(self.spec):
            return [self.spec], []
        if storage.is_file(self.spec):
            raise DhsError(
                f"{self.spec}: not a cutout by its name. Give a file that ends in {', '.join(SUFFIXES)}, or a folder "
                "of them; an archive has to be unpacked first."
            )
        there = storage.list_files(self.spec, recursive=True)
        files = [f for f in there if is_cutout(f)]
        if not files:
            raise DhsError(
                f"{self.spec}: holds no cutouts. Put files ending in {', '.join(SUFFIXES)} there, or a survey's coadd/."
            )
        return files, [_passed_over(f) for f in there if not is_cutout(f)]


def is_cutout(path: str) -> bool:
    """Whether a file's name is that of a cutout, whatever its case."""
    return str(path).lower().endswith(SUFFIXES)


def _passed_over(file: str) -> Refusal:
    name = file.rsplit("/", 1)[-1]
    message, remedy = "passed over: its name is not that of a cutout", "If it is one, end its name in .npz or .fits."
    return Refusal(name, file, -1, "host", "passed_over", message, remedy)
