"""A real S3 protocol server on loopback (moto behind werkzeug), which can be told to throttle and to ask for keys."""

import threading
import urllib.request
from contextlib import contextmanager

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

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
        Answer 403 to requests without the right key, but for reading under ``/bucket/public``.
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
        public = request.method in ("GET", "HEAD") and request.path.startswith("/bucket/public")
        if self.guarded and not public and "Credential=test/" not in request.headers.get("Authorization", ""):
            request.get_data()
            return Response(DENIED, 403, content_type="application/xml")(environ, start_response)
        return self.app(environ, start_response)

    @property
    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def put(self, path: str, data: bytes = b"", method: str = "PUT", **headers: str) -> None:
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        urllib.request.urlopen(request).read()


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
