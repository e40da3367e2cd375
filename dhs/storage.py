"""Files and object stores through ``pyarrow.fs``: atomic writes, listing, the quarantine.

A path is a local path or a URI that ``pyarrow.fs`` understands (``s3://bucket/key``). Every write is whole or
absent: locally through a temporary file and a rename, on an object store because an upload is atomic there.

S3 takes credentials, region and endpoint from the standard places (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_REGION``, ``AWS_ENDPOINT_URL``, ``~/.aws``). ``AWS_NO_SIGN_REQUEST=YES`` asks without credentials;
``s3://anonymous@bucket/key`` does so for one path.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from dhs.errors import DhsError, Refusal, UsageError

QUARANTINE_SCHEMA = pa.schema(
    [("id", pa.string()), ("file", pa.string()), ("row", pa.int64()), ("stage", pa.string())]
    + [(name, pa.string()) for name in ("code", "message", "remedy")]
)
ATTEMPTS = 6  # of one request to an object store, with exponential back-off: a throttled store answers in the end
_TRUE = ("1", "true", "yes")
_S3_CAUSES = (
    (("NO_SUCH_BUCKET",), "no such bucket. Create it, or check the name."),
    (
        ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "INVALID_CLIENT_TOKEN", "SIGNATURE", "credential", "EXPIRED_TOKEN"),
        "credentials are missing or refused. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket "
        "write s3://anonymous@bucket/key.",
    ),
    (
        ("SLOW_DOWN", "THROTTLING", "REQUEST_LIMIT", "SERVICE_UNAVAILABLE", "status 503", "status 429"),
        "the store is throttling. Run again with fewer workers; --resume goes on where it stopped.",
    ),
    (
        ("status 301", "PermanentRedirect", "PERMANENT_REDIRECT", "AuthorizationHeaderMalformed"),
        "the bucket lies in another region. Set AWS_REGION to the bucket's own.",
    ),
    (("NETWORK_CONNECTION",), "the store does not answer. Check AWS_ENDPOINT_URL and the network, and run again."),
)


@lru_cache
def _s3(anonymous: bool, endpoint: str, region: str | None, environment: tuple) -> pafs.S3FileSystem:
    """One client for each way of asking; the rest of the environment is read by the client when it is made."""
    scheme, _, address = endpoint.rpartition("://")
    return pafs.S3FileSystem(
        anonymous=anonymous,
        endpoint_override=address.rstrip("/") or None,
        scheme=scheme or "https",
        region=region,
        allow_delayed_open=True,  # a small object is one request
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def resolve(path: str | Path) -> tuple[pafs.FileSystem, str]:
    """File system and path within it, of a local path or a URI."""
    text = str(path)
    if not text:
        raise UsageError("an empty path. Name a file or a folder; is a variable of the shell unset?")
    if text.startswith("s3://"):
        inner = text.removeprefix("s3://").rstrip("/")
        user, at, rest = inner.partition("/")[0].rpartition("@")
        if at and user != "anonymous":
            raise UsageError(
                f"s3://...@{rest}: keys do not belong in an address, which is stored and shown. Set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, or write s3://anonymous@bucket/key."
            )
        if not all(inner.split("/")):
            raise UsageError(f"{text}: an empty name between slashes. Write s3://bucket/key.")
        aws = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
        anonymous = inner.startswith("anonymous@") or aws.get("AWS_NO_SIGN_REQUEST", "").lower() in _TRUE
        endpoint = aws.get("AWS_ENDPOINT_URL_S3") or aws.get("AWS_ENDPOINT_URL", "")
        region = aws.get("AWS_REGION") or aws.get("AWS_DEFAULT_REGION")
        return _s3(anonymous, endpoint, region, tuple(sorted(aws.items()))), inner.removeprefix("anonymous@")
    if "://" in text:
        try:
            return pafs.FileSystem.from_uri(text)
        except (pa.ArrowInvalid, NotImplementedError) as error:
            raise UsageError(
                f"{text}: not a location that can be read ({error}). Give a path or s3://bucket/key."
            ) from None
    return pafs.LocalFileSystem(), os.path.abspath(os.path.expanduser(text))


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Errors of a file system as a `DhsError` that names the path, the cause and what to do."""
    try:
        yield
    except NotADirectoryError:
        raise DhsError(f"{path}: a file stands where a folder is needed. Choose another path.") from None
    except FileNotFoundError:
        raise DhsError(f"{path}: no such file. Check the path, or make the step that writes it.") from None
    except OSError as error:
        if isinstance(error, FileExistsError) or "Not a directory" in str(error):
            said = "a file stands where a folder is needed. Choose another path."
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            said = "no space left on the device. Free some and run again; nothing half-written was kept."
        elif isinstance(error, PermissionError):
            said = "permission denied. Choose a place you may read or write."
        elif isinstance(error, IsADirectoryError) or "is a directory" in str(error):
            said = "a folder, not a file. Name the file in it."
        else:
            said = next((said for words, said in _S3_CAUSES if any(w in str(error) for w in words)), None)
            if region := re.search(r"bucket is located in '([\w-]+)'", str(error)):
                said = f"the bucket lies in another region. Set AWS_REGION={region[1]}."
        if said is None and str(path).startswith("s3://"):
            said = "the store answered with an error. Check the bucket's name, region and endpoint, and run again."
        if said is None:
            raise
        raise DhsError(f"{path}: {said} ({error})") from error


def join(path: str | Path, *parts: str) -> str:
    """Append path components to a local path or URI."""
    return "/".join([str(path).rstrip("/"), *parts])


def exists(path: str | Path) -> bool:
    fs, inner = resolve(path)
    with explained(path):
        return fs.get_file_info(inner).type != pafs.FileType.NotFound


def is_file(path: str | Path) -> bool:
    fs, inner = resolve(path)
    with explained(path):
        return fs.get_file_info(inner).type == pafs.FileType.File


def list_files(folder: str | Path, suffixes: tuple[str, ...] = (), recursive: bool = False) -> list[str]:
    """Sorted paths of the files in a folder; hidden and temporary files are left out."""
    fs, inner = resolve(folder)
    with explained(folder):
        infos = fs.get_file_info(pafs.FileSelector(inner, recursive=recursive, allow_not_found=True))
    names = [i.path[len(inner.rstrip("/")) + 1 :] for i in infos if i.type == pafs.FileType.File]
    keep = [n for n in names if not n.rsplit("/", 1)[-1].startswith(".") and (not suffixes or n.endswith(suffixes))]
    return [join(folder, name) for name in sorted(keep)]


def list_folders(folder: str | Path) -> list[str]:
    """Sorted names of the folders directly in a folder."""
    fs, inner = resolve(folder)
    with explained(folder):
        infos = fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True))
    return sorted(i.base_name for i in infos if i.type == pafs.FileType.Directory and not i.base_name.startswith("."))


def read_bytes(path: str | Path) -> bytes:
    fs, inner = resolve(path)
    with explained(path), fs.open_input_file(inner) as stream:
        return stream.read()


def write_bytes(path: str | Path, data: bytes | pa.Buffer) -> None:
    """Write a file whole or not at all."""
    fs, inner = resolve(path)
    with explained(path):
        if not isinstance(fs, pafs.LocalFileSystem):
            # One write: a stream closed by an interrupt between two would leave half a file as if it were whole.
            with fs.open_output_stream(inner) as stream:
                stream.write(data)
            return
        folder = os.path.dirname(inner)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, inner)
        except BaseException:
            os.unlink(temporary)
            raise


def data_file(*parts: str) -> str | None:
    """What lies under ``DHS_DATA_DIR``, itself without parts; None where that is not set or holds no such thing."""
    root = os.environ.get("DHS_DATA_DIR")
    path = join(os.path.expanduser(root), *parts) if root else None
    return path if path and exists(path) else None


def cache_folder(name: str) -> Path:
    """A folder of ``DHS_CACHE_DIR``, else of ``dhs`` in the user's cache directory."""
    own, user = os.environ.get("DHS_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(own) if own else Path(user) / "dhs").expanduser().absolute() / name


def copy(source: str | Path, target: str | Path) -> None:
    """Copy a file, whole or not at all; one of the two is local. Large files are not held in memory."""
    fs, inner = resolve(source)
    if isinstance(fs, pafs.LocalFileSystem):
        with explained(source), pa.memory_map(inner) as stream:
            write_bytes(target, stream.read_buffer())
        return
    path = Path(resolve(target)[1])
    with explained(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as aside:
            with explained(source), fs.open_input_file(inner) as stream:
                stream.download(os.path.join(aside, path.name))
            os.replace(os.path.join(aside, path.name), path)


def read_json(path: str | Path) -> dict:
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise DhsError(f"{path}: not valid JSON ({error}). Delete it and run the step that writes it.") from None


def write_json(path: str | Path, value) -> None:
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def table_bytes(table: pa.Table, row_group_size: int | None = None) -> bytes:
    """A table as one parquet file; the bytes depend on the table and the pyarrow version alone.

    Row groups carry the least and greatest value of every column but binary ones, so that a reader can leave out
    groups that a filter excludes.
    """
    sink = pa.BufferOutputStream()
    blobs = {f.name for f in table.schema if pa.types.is_binary(f.type)}
    plain = [name for name in table.schema.names if name not in blobs]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        row_group_size=row_group_size or max(table.num_rows, 1),
        use_dictionary=plain if blobs else True,
        write_statistics=plain if blobs else True,
    )
    return sink.getvalue().to_pybytes()


def write_table(path: str | Path, table: pa.Table, row_group_size: int | None = None) -> None:
    """Write one parquet file atomically; see `table_bytes`."""
    write_bytes(path, table_bytes(table, row_group_size))


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    fs, inner = resolve(path)
    try:
        with explained(path):
            return pq.read_table(inner, columns=columns, filesystem=fs, partitioning=None)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # of a damaged file, by where it is damaged
        said = " ".join(str(error).split())
        raise DhsError(f"{path}: not a readable parquet file ({said}). Delete it and run the step again.") from None


def write_quarantine(path: str | Path, refusals: Iterable[Refusal]) -> None:
    """Write refused inputs, sorted, so that the file does not depend on the order in which they were met."""
    rows = sorted((r.as_dict() for r in refusals), key=lambda r: (r["stage"], r["file"], r["row"], r["id"]))
    write_table(path, pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA))


def sha256(path: str | Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
