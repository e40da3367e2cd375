"""Downloads against a real HTTP server on loopback that misbehaves in the usual ways."""

import base64
import hashlib
import http.server
import io
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from brick_samples import brick_wcs

from dhs import cli, storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, UsageError
from dhs.survey.fetch import download, sets
from dhs.survey.fetch.download import SUMS, Wanted
from dhs.survey.hosts.open import open_hosts
from dhs.survey.lenses import catalogues

BODY = bytes(range(256)) * 2000
PAGE = b"<html>Sorry, we are busy</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``bodies``; what goes wrong, and how often, stands in the first part of the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, self.path.split("?")[0]
        with server.lock:
            server.asked.append((self.path, self.headers.get("Range"), self.headers.get("User-Agent")))
            count = sum(asked == self.path for asked, *_ in server.asked)
        self.answer(path, count)

    def answer(self, path, count):
        server = self.server
        self.close_connection = True
        if path in ("/busy", "/asks") and count < 3:
            self.send_response(429 if path == "/asks" else 503)
            self.send_header("Retry-After", "0.3" if path == "/asks" else "Wed, 21 Oct 2026 07:28:00 GMT")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if path in ("/moved", "/loop"):
            self.send_response(302)
            self.send_header("Location", "/good" if path == "/moved" else "/loop")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if path == "/reset" and count < 3:
            return self.connection.close()
        body = server.bodies.get(path) if not callable(server.bodies.get(path)) else server.bodies[path](self.path)
        if body is None:
            return self.send_error(404)
        if path == "/page" and count < 2:
            body = PAGE
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
        etag = server.etags.get(path)
        if etag and self.headers.get("If-Range") not in (None, etag):
            start = 0
        if start and (path == "/whole" or start >= len(body)):
            if path != "/whole":
                return self.send_error(416)
            start = 0
        self.send_response(206 if start else 200)
        if start:
            shift = 7 if path == "/shifted" else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(body) - 1}/{len(body)}")
        if etag:
            self.send_header("ETag", etag)
        if path == "/md5":
            wrong = b"x" if count < 2 else b""
            self.send_header("Content-MD5", base64.b64encode(hashlib.md5(body + wrong).digest()).decode())
        chunked = path == "/chunked"
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body) - start))))
        self.end_headers()
        if path in ("/cut", "/whole", "/shifted", "/changed") and count == 1:
            return self.wfile.write(body[:1000])
        if path == "/stalls" and count == 1:
            self.wfile.write(body[:1000])
            self.wfile.flush()
            return time.sleep(1.0)
        if chunked:
            rest = body[start:]
            self.wfile.write(f"{len(rest):x}\r\n".encode() + (rest[:5000] if count == 1 else rest + b"\r\n0\r\n\r\n"))
            return None
        return self.wfile.write(body[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    monkeypatch.setattr(download, "TIMEOUT_S", 0.4)
    good = ("good", "busy", "asks", "cut", "reset", "page", "whole", "shifted", "changed", "md5", "stalls", "chunked")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.asked, httpd.lock, httpd.etags = [], threading.Lock(), {}
        httpd.bodies = {f"/{name}": BODY for name in good}
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
        yield httpd
        httpd.shutdown()


def get(server, path, folder, sha256=None, looks_right=None):
    return download.download(Wanted(f"{server.url}/{path}", folder / "file", sha256, looks_right))


def test_download_is_whole_checked_and_not_repeated(server, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    for _ in range(2):
        path = get(server, "good", tmp_path, digest)
    assert path.read_bytes() == BODY and len(server.asked) == 1
    assert "dark-halo-scope" in server.asked[0][2]
    assert sorted(p.name for p in tmp_path.iterdir()) == [SUMS, "file"]
    assert (tmp_path / SUMS).read_text() == f"{digest}  file\n"


@pytest.mark.parametrize(
    "fault", ["cut", "busy", "reset", "page", "whole", "shifted", "md5", "stalls", "chunked", "moved", "asks"]
)
def test_what_goes_wrong_once_is_asked_for_again(server, tmp_path, fault):
    def no_page(path):
        if path.read_bytes().startswith(b"<html"):
            raise download.NotThis("an error page")

    started = time.time()
    assert get(server, fault, tmp_path, looks_right=no_page).read_bytes() == BODY
    if fault in ("cut", "stalls"):
        assert server.asked[1][:2] == (f"/{fault}", "bytes=1000-"), "continued where it stopped"
    if fault == "asks":
        assert time.time() - started > 0.6, "the server's own pause was kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == [SUMS, "file"]


def test_a_file_that_changed_meanwhile_is_not_patched_together(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.etags["/changed"] = '"one"'
    with pytest.raises(DhsError, match="no whole answer in 1 attempts"):
        get(server, "changed", tmp_path)
    assert (tmp_path / "file.part").stat().st_size == 1000
    server.etags["/changed"], server.bodies["/changed"] = '"two"', BODY[::-1]
    assert get(server, "changed", tmp_path).read_bytes() == BODY[::-1]


def test_a_partial_file_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * (len(BODY) + 5))
    assert get(server, "good", tmp_path).read_bytes() == BODY


def test_what_will_not_change_is_not_asked_for_again(server, tmp_path):
    with pytest.raises(DhsError, match="404"):
        get(server, "absent", tmp_path)
    assert len(server.asked) == 1
    with pytest.raises(DhsError, match="302"):
        get(server, "loop", tmp_path)
    with pytest.raises(DhsError, match="expected 00"):
        get(server, "good", tmp_path, "00")
    assert not list(tmp_path.glob("file*"))


def test_a_server_that_never_answers_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    server.bodies["/good"] = PAGE

    def no_page(path):
        raise download.NotThis("an error page")

    with pytest.raises(DhsError, match=r"no whole answer in 2 attempts \(an error page\)"):
        get(server, "good", tmp_path, looks_right=no_page)
    assert not list(tmp_path.glob("file*")), "an error page is not kept to be continued"


def test_a_damaged_file_is_fetched_again_and_a_lost_sum_is_made_up(server, tmp_path):
    get(server, "good", tmp_path)
    (tmp_path / "file").write_bytes(BODY[:-1] + b"?")
    assert get(server, "good", tmp_path).read_bytes() == BODY and len(server.asked) == 2
    (tmp_path / SUMS).write_text("cut sho")
    get(server, "good", tmp_path)
    assert len(server.asked) == 2 and hashlib.sha256(BODY).hexdigest() in (tmp_path / SUMS).read_text()


def test_a_full_disk_is_said(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "open", full, raising=False)
    with pytest.raises(DhsError, match="No space left on device. Free some space"):
        get(server, "good", tmp_path)


def tarball(**members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_cosmos_archive_is_unpacked_once_and_whole(server, tmp_path):
    server.bodies["/cosmos"] = tarball(**{"sample/catalogue.fits": b"abc"})
    (found,) = sets.fetch("cosmos", tmp_path, url=f"{server.url}/cosmos")
    assert found.endswith("cosmos/sample/catalogue.fits")
    before = (tmp_path / "cosmos/sample/catalogue.fits").stat().st_ino
    assert sets.fetch("cosmos", tmp_path, url=f"{server.url}/cosmos") == [found] and len(server.asked) == 1
    assert (tmp_path / "cosmos/sample/catalogue.fits").stat().st_ino == before


def test_an_archive_that_leaves_its_folder_or_is_damaged_is_refused(server, tmp_path):
    server.bodies["/evil"] = tarball(**{"../outside.fits": b"abc"})
    with pytest.raises(DhsError, match="can't be unpacked"):
        sets.fetch("cosmos", tmp_path / "a", url=f"{server.url}/evil")
    assert not (tmp_path / "outside.fits").exists() and not (tmp_path / "a" / "outside.fits").exists()
    server.bodies["/half"] = tarball(**{"sample/catalogue.fits": np.random.default_rng(0).bytes(9000)})[:5000]
    with pytest.raises(DhsError, match="can't be unpacked"):
        sets.fetch("cosmos", tmp_path / "b", url=f"{server.url}/half")
    assert not (tmp_path / "b" / "cosmos").exists()


def viewer(server, size=65, psf_sides=(63, 61, 63)):
    """The viewer's two services, as they answer: a cube with BANDS and an invvar HDU; one PSF HDU a band."""
    noise = (0.0016, 0.0026, 0.0074)

    def cutout(path):
        query = dict(item.split("=") for item in path.split("?")[1].split("&") if "=" in item)
        ra, dec = float(query["ra"]), float(query["dec"])
        if dec > 80:
            return PAGE
        rng = np.random.default_rng(int(ra))
        y, x = np.mgrid[:size, :size] - size // 2
        galaxy = np.exp(-(x**2 + y**2) / 18.0)
        cube = np.stack([60 * s * galaxy + rng.normal(0, s, (size, size)) for s in noise]).astype(np.float32)
        if dec < -80:
            cube[2] = 0
        header = brick_wcs(ra, dec, size).to_header()
        header["BANDS"] = "grz"
        for i, band in enumerate("grz"):
            header[f"BAND{i}"] = band
        weight = np.stack([np.full((size, size), s**-2.0, np.float32) for s in noise])
        return to_bytes([fits.PrimaryHDU(cube, header), fits.ImageHDU(weight, fits.Header({"IMAGETYP": "INVVAR"}))])

    def psf(path):
        planes = []
        for side, fwhm in zip(psf_sides, (1.4, 1.2, 1.1)):
            axis = (np.arange(side) - side // 2) * 0.262
            alpha = fwhm / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
            planes.append(((1 + (axis[:, None] ** 2 + axis**2) / alpha**2) ** -3.5).astype(np.float32))
        return to_bytes([fits.PrimaryHDU(planes[0]), *(fits.ImageHDU(p) for p in planes[1:])])

    def to_bytes(hdus):
        buffer = io.BytesIO()
        fits.HDUList(hdus).writeto(buffer)
        return buffer.getvalue()

    server.bodies |= {"/viewer/fits-cutout": cutout, "/viewer/coadd-psf/": psf}
    return f"{server.url}/viewer"


def test_hosts_come_with_inverse_variance_and_psf_and_are_hosts(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    table = tmp_path / "hosts.csv"
    table.write_text("RA,Dec\n10.5,-3.25\n200.0,12.0\n30.0,85.0\n40.0,-85.0\n")
    files = sets.fetch("hosts", tmp_path / "out", catalogue=str(table), url=viewer(server))
    assert [f.rsplit("/")[-1] for f in files] == ["10.500000-3.250000.npz", "200.000000+12.000000.npz"]
    refused = storage.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert [(r["row"], r["code"]) for r in refused] == [(2, "not_fetched"), (3, "empty_band")]
    assert "Sorry, we are busy" in refused[0]["message"]
    hosts = open_hosts(HostsConfig(spec=str(tmp_path / "out"), known_lenses=None), 1)
    stamp = hosts.read(0)
    assert stamp.psf_fwhm == pytest.approx([1.4, 1.2, 1.1], rel=0.02) and stamp.psf.shape == (3, 61, 61)
    assert stamp.invvar is not None and stamp.flags == ()
    assert (stamp.ra, stamp.dec) == pytest.approx((10.5, -3.25), abs=1e-6)
    asked = [path for path, *_ in server.asked]
    assert any("ra=10.500000" in p and "bands=grz" in p and p.endswith("&invvar") for p in asked)
    server.asked.clear()
    assert sets.fetch("hosts", tmp_path / "out", catalogue=str(table), url=viewer(server)) == files
    assert {p.split("dec=")[1].split("&")[0] for p, *_ in server.asked} == {"85.000000"}, "only what was missing"


def test_downloads_run_side_by_side_but_few_at_a_time(server, tmp_path):
    lock, now, most = threading.Lock(), [0], [0]

    def slow(path):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        with lock:
            now[0] -= 1
        return BODY

    server.bodies["/slow"] = slow
    wanted = [Wanted(f"{server.url}/slow?{i}", tmp_path / f"f{i}") for i in range(12)]
    assert list(download.download_all(wanted, "files", 3)) == [None] * 12
    assert 1 < most[0] <= 3
    assert len((tmp_path / SUMS).read_text().splitlines()) == 12


def test_no_host_at_all_is_an_error(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    (tmp_path / "hosts.csv").write_text("RA,Dec\n30.0,85.0\n")
    with pytest.raises(DhsError, match="none of 1 hosts could be fetched; .*quarantine.parquet says why"):
        sets.fetch("hosts", tmp_path / "out", catalogue=str(tmp_path / "hosts.csv"), url=viewer(server))


def test_lenscat_comes_from_its_package_or_its_repository(server, tmp_path, monkeypatch):
    table = tmp_path / "catalogues" / "lenscat" / "catalog.csv"
    table.parent.mkdir(parents=True)
    row = "galaxy,confident,Huang et al. (2021) - arXiv:2005.04730"
    lines = (
        "name,RA [deg],DEC [deg],zlens,type,grading,ref",
        f"a,1,2,0.5,{row}",
        f"b,3,4,-,{row.replace('confi', 'x')}",
    )
    table.write_text("\n".join(lines))
    monkeypatch.setattr(catalogues.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path))
    path, curated, _ = sets.fetch("lenses", tmp_path / "a")
    assert len(catalogues.read_catalogue(path)) == 2 and not server.asked
    assert catalogues.read_catalogue(curated).names == ("a",)
    about = storage.read_json(tmp_path / "a" / "real_lenses_about.json")
    assert about["n"] == 1 and about["n_coordinates_checked"] == 0
    (tmp_path / "second.csv").write_text("ra,dec\n1,2\n")
    (tmp_path / "elsewhere.csv").write_text("ra,dec\n50,2\n")
    for name, options, n in (
        ("checked", {"second": [str(tmp_path / "second.csv")]}, 1),
        ("contradicted", {"second": [str(tmp_path / "elsewhere.csv")]}, 0),
        ("trained", {"training": [str(tmp_path / "second.csv")]}, 0),
    ):
        sets.fetch("lenses", tmp_path / name, **options)
        about = storage.read_json(tmp_path / name / "real_lenses_about.json")
        assert (about["n"], about["n_coordinates_checked"]) == (n, n), name
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    monkeypatch.setattr(sets, "LENSES_URL", f"{server.url}/lenscat")
    server.bodies["/lenscat"] = b"name,RA [deg],DEC [deg]\na,1.5,2.5\n"
    (path,) = sets.fetch("lenses", tmp_path / "b")
    assert catalogues.read_catalogue(path).ra.tolist() == [1.5]
    server.bodies["/page"] = PAGE
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(DhsError, match="no RA column"):
        sets.fetch("lenses", tmp_path / "c", url=f"{server.url}/page")


def test_from_the_command_line(server, tmp_path, monkeypatch, capsys):
    def say(*args) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dhs", "fetch", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    table = tmp_path / "hosts.csv"
    table.write_text("RA,Dec\n10.5,-3.25\n200.0,12.0\n")
    url = viewer(server)
    code, out, _ = say("hosts", "--catalogue", table, "--out", tmp_path / "out", "--url", url, "--parallel", 2)
    assert code == 0 and out.split() == [
        f"{tmp_path}/out/{name}.npz" for name in ("10.500000-3.250000", "200.000000+12.000000")
    ]
    code, _, said = say("cosmos", "--out", tmp_path / "c", "--url", f"{server.url}/absent")
    assert code == 3 and "the server answered 404" in said and "Check the address" in said
    server.bodies["/cosmos"] = tarball(**{"sample/catalogue.fits": b"abc"})
    code, _, said = say("cosmos", "--out", tmp_path / "c", "--url", f"{server.url}/cosmos", "--sha256", "0" * 64)
    assert code == 3 and f"expected {'0' * 64}. Nothing was kept" in said and not list((tmp_path / "c").glob("cosmos*"))


def test_usage(tmp_path):
    with pytest.raises(UsageError, match="cosmos, hosts or lenses"):
        sets.fetch("galaxies", tmp_path)
    with pytest.raises(UsageError, match="--catalogue"):
        sets.fetch("hosts", tmp_path)


# -------------------------------------------------------------------------------------------------------------- demo


def test_what_ships_names_commit_sum_licence_and_thanks():
    from dhs.survey.fetch.demo import sets as shipped

    for entry in shipped()["sets"]:
        assert len(entry["commit"]) == 40 and entry["licence"] == "MIT" and entry["acknowledgement"]
        assert "LICENSE" in entry["files"] and all(len(sum_) == 64 for _, sum_ in entry["files"].values())
    assert "DES" in shipped()["sets"][0]["acknowledgement"] and len(shipped()["sets"][0]["stars"]) == 19


def small_demo(server):
    """Two sets as they ship, of four stamps and one file, on the loopback server."""
    rng = np.random.default_rng(0)
    y, x = np.indices((91, 91)) - 45
    light = 300 * np.exp(-np.hypot(x, y) / 3.0)
    bodies = {"LICENSE": b"MIT", "data/galaxies.fits": b"x" * 5000}
    for band in "griz":
        buffer = io.BytesIO()
        fits.PrimaryHDU((light + rng.normal(0, 4, (4, 91, 91))).astype(np.float32)).writeto(buffer)
        bodies[f"images/{band}.fits"] = buffer.getvalue()
    server.bodies = {f"/{repo}/c0ffee/{path}": body for repo in ("a/b", "c/d") for path, body in bodies.items()}
    sums = {path: hashlib.sha256(body).hexdigest() for path, body in bodies.items()}
    common = {"commit": "c0ffee", "licence": "MIT", "what": "galaxies"}
    hosts = {f"upstream/{b}.fits": [f"images/{b}.fits", sums[f"images/{b}.fits"]] for b in "griz"}
    licence = {"LICENSE": ["LICENSE", sums["LICENSE"]]}
    first = {
        "repository": "a/b",
        "folder": "hosts/des_lrg46",
        "acknowledgement": "Thank DES.",
        "files": hosts | licence,
    }
    files = {"galaxies.fits": ["data/galaxies.fits", sums["data/galaxies.fits"]]}
    second = {
        "repository": "c/d",
        "folder": "sources/cosmos",
        "acknowledgement": "Thank HST.",
        "files": files | licence,
    }
    address = f"http://127.0.0.1:{server.server_port}/{{repository}}/{{commit}}/{{path}}"
    sets_ = [common | first | {"stars": {"1": [1.1, 0.9, 0.8, 40.0]}}, common | second]
    return {"address": address, "sets": sets_}


def test_demo_is_fetched_whole_checked_and_ready_for_use(server, tmp_path, monkeypatch):
    from dhs.survey.fetch import demo

    what = small_demo(server)
    monkeypatch.setattr(demo, "sets", lambda: what)
    files = sets.fetch("demo", tmp_path)
    assert files[-1].endswith("ATTRIBUTION.txt") and all(Path(f).exists() for f in files)
    told = Path(files[-1]).read_text()
    assert all(word in told for word in ("Thank DES.", "Thank HST.", "c0ffee", "MIT", "hosts/des_lrg46"))
    monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path))
    hosts = open_hosts(HostsConfig(spec="auto", known_lenses=None), 1)
    assert len(hosts) == 4 and "psf_from_star" in hosts.read(1).flags and "psf_assumed" in hosts.read(0).flags
    assert hosts.read(0).image[1].max() == pytest.approx(0.3, rel=0.1)  # counts over 1000 are nanomaggies
    asked = len(server.asked)
    assert sets.fetch("demo", tmp_path) == files and len(server.asked) == asked
    (tmp_path / "sources/cosmos/galaxies.fits").write_bytes(b"half")
    assert sets.fetch("demo", tmp_path) == files and len(server.asked) == asked + 1


def test_demo_of_another_content_is_not_kept(server, tmp_path, monkeypatch):
    from dhs.survey.fetch import demo

    what = small_demo(server)
    server.bodies["/c/d/c0ffee/data/galaxies.fits"] = b"y" * 5000
    with pytest.raises(DhsError, match="SHA-256"):
        demo.demo(tmp_path, None, 2, what)
    assert not (tmp_path / "sources/cosmos/galaxies.fits").exists() and not (tmp_path / "ATTRIBUTION.txt").exists()
    server.bodies["/c/d/c0ffee/data/galaxies.fits"] = b"x" * 5000
    assert len(demo.demo(tmp_path, None, 2, what)) == 9
