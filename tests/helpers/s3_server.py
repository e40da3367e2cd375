"""A real S3 protocol server on loopback (moto behind werkzeug), which can be told to throttle and to ask for keys."""

import os
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from dhs import storage

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Quiet(WSGIRequestHandler):
    def log_request(self, *args):
        pass


class Store:
    """The server's state.

    Attributes
    ----------
    url : str
    asked : list of (str, str)
        Method and path of each request.
    throttle : int
        Requests to answer with 503 before any other.
    guarded : bool
        Answer 403 to requests without the right key, but for reading and listing under ``/bucket/public``.
    """

    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.asked: list[tuple[str, str]] = []
        self.throttle, self.guarded = 0, False
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        request = Request(environ)
        with self.lock:
            self.asked.append((request.method, request.path))
            throttled = self.throttle > 0
            self.throttle -= throttled
        if throttled:
            request.get_data()
            return Response(SLOW_DOWN, 503, content_type="application/xml")(environ, start_response)
        listed = request.args.get("prefix", "") if request.path.rstrip("/") == "/bucket" else ""
        of_public = request.path.startswith("/bucket/public") or listed.startswith("public")
        public = request.method in ("GET", "HEAD") and of_public
        if self.guarded and not public and "Credential=test/" not in request.headers.get("Authorization", ""):
            request.get_data()
            return Response(DENIED, 403, content_type="application/xml")(environ, start_response)
        return self.app(environ, start_response)

    @property
    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def put(self, path: str, data: bytes = b"", method: str = "PUT", **headers: str) -> None:
        # with urllib's own content type the server waits for a form
        request = urllib.request.Request(
            f"{self.url}/{path}", data, {"Content-Type": "text/plain"} | headers, method=method
        )
        urllib.request.urlopen(request, timeout=30).read()

    def opened(self, suffix: str = "") -> list[str]:
        """Paths of the objects that were opened to be read, one entry each time."""
        return [path for method, path in self.asked if method == "HEAD" and path.endswith(suffix)]


def upload(folder: Path, prefix: str) -> str:
    for path in (p for p in folder.rglob("*") if p.is_file()):
        storage.write_bytes(storage.join(prefix, path.relative_to(folder).as_posix()), path.read_bytes())
    return prefix


def only(monkeypatch, environment: dict[str, str]) -> None:
    """These variables of the environment, and no other that speaks of S3."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@contextmanager
def s3_server(bucket: str):
    store = Store()
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store.put("moto-api/reset", method="POST")
    store.put(bucket)
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
