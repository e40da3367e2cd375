"""Downloads against a real HTTP server on loopback that misbehaves in the usual ways."""

import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from dhs.errors import DhsError, UsageError
from dhs.survey import fetch

BODY = bytes(range(256)) * 2000


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list  # (path, Range header), set per server

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        body = self.server.bodies.get(self.path.split("?")[0])
        count = sum(path == self.path for path, _ in self.server.asked)
        if self.path == "/busy" and count < 3:
            return self.send_error(503)
        if body is None:
            return self.send_error(404)
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.path == "/cut" and count == 1
        self.wfile.write(body[start : start + 1000] if cut else body[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE_S", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.asked, httpd.bodies = [], {"/good": BODY, "/busy": BODY, "/cut": BODY, "/cutout": BODY}
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        yield httpd
        httpd.shutdown()


def test_download_is_whole_checked_and_not_repeated(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    for _ in range(2):
        path = fetch.download(f"{server.url}/good", tmp_path / "file", digest)
    assert path.read_bytes() == BODY and len(server.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_cut_off_download_continues_where_it_stopped(server, tmp_path):
    assert fetch.download(f"{server.url}/cut", tmp_path / "file").read_bytes() == BODY
    assert server.asked[1] == ("/cut", "bytes=1000-")


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server, tmp_path):
    assert fetch.download(f"{server.url}/busy", tmp_path / "file").read_bytes() == BODY
    with pytest.raises(DhsError, match="404"):
        fetch.download(f"{server.url}/absent", tmp_path / "other")
    assert sum(path == "/absent" for path, _ in server.asked) == 1


def test_a_wrong_checksum_is_refused_and_nothing_stays(server, tmp_path):
    with pytest.raises(DhsError, match="expected 00"):
        fetch.download(f"{server.url}/good", tmp_path / "file", "00")
    assert not list(tmp_path.iterdir())


def test_cosmos_archive_is_unpacked(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("sample/catalogue.fits")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    server.bodies["/cosmos"] = buffer.getvalue()
    (found,) = fetch.fetch("cosmos", tmp_path, url=f"{server.url}/cosmos")
    assert found.endswith("sample/catalogue.fits")


def test_one_cutout_is_asked_for_per_host(server, tmp_path):
    table = tmp_path / "hosts.csv"
    table.write_text("RA,Dec\n10.5,-3.25\n200.0,12.0\n")
    files = fetch.fetch("hosts", tmp_path / "out", catalogue=str(table), url=f"{server.url}/cutout")
    assert len(files) == 2
    assert "ra=10.500000" in server.asked[0][0] and server.asked[0][0].endswith("&invvar")


def test_usage(tmp_path):
    with pytest.raises(UsageError, match="cosmos, hosts or lenses"):
        fetch.fetch("galaxies", tmp_path)
    with pytest.raises(UsageError, match="--catalogue"):
        fetch.fetch("hosts", tmp_path)
