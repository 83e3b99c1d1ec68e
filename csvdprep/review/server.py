"""The desk over HTTP, for this machine alone.

The standard library serves it: a handful of requests by one person at a time need no framework,
and a cluster's login node, where nothing can be installed, has it.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from csvdprep.core.errors import CsvdprepError
from csvdprep.review.desk import FAULTS, Desk, NotFound, Refused

__all__ = ['ADDRESS', 'DeskServer', 'make_server']

ADDRESS = '127.0.0.1'
STATIC = Path(__file__).parent / 'static'
#: Files of the page, and what each is.
PAGE = {
    'index.html': 'text/html; charset=utf-8',
    'desk.css': 'text/css; charset=utf-8',
    'desk.js': 'text/javascript; charset=utf-8',
    'niivue.umd.js': 'text/javascript; charset=utf-8',
}
_JSON = 'application/json; charset=utf-8'
#: Largest body that is taken: of a rating, and of a mask.
_MOST_BODY, _MOST_MASK = 1 << 16, 64 << 20
_IDLE_S = 60
_REPORT = re.compile(
    r'(?:sub-[A-Za-z0-9+]+(?:_ses-[A-Za-z0-9+]+)?|group)\.html'
    r'|sub-[A-Za-z0-9+]+/(?:ses-[A-Za-z0-9+]+/)?figures/[A-Za-z0-9+_-]+\.(?:svg|png)'
)
#: A row of a list of lesions in a report.
_LESION = re.compile(
    rb'(<tr data-lesion="([A-Za-z]+-\d+)">(?:<td class="picture">[^\n]*?</td>)?<td[^>]*>)'
    rb'(\d+)(</td>)'
)
#: The picture of one, which opens large where there is no desk.
_PICTURE = re.compile(rb'<a class="large" data-lesion="([A-Za-z]+-\d+)" href="[^"]*"')
_KINDS = {'.html': 'text/html; charset=utf-8', '.svg': 'image/svg+xml', '.png': 'image/png'}
#: What the page may load: nothing from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
#: What a report may do: show itself and its figures, but ask the desk for nothing.
_REPORT_POLICY = (
    "default-src 'none'; img-src 'self' data:; object-src 'self'; frame-src 'self'; "
    "style-src 'self' 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
#: A page that asks for this header has to be the desk's own: others may not send it.
GUARD = 'X-Csvdprep-Review'


class DeskServer(ThreadingHTTPServer):
    """Serve a desk on the loopback address.

    Parameters
    ----------
    port : int
        Port; 0 takes a free one.
    desk : Desk
        What answers.
    token : str, optional
        Secret without which nothing is told; drawn if omitted.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, desk: Desk, token: str = ''):
        self.desk = desk
        self.token = token or secrets.token_urlsafe(24)
        # Cookies do not tell ports apart: two desks need two names.
        self.cookie = f'csvdprep_{secrets.token_hex(4)}'
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Address with the token, to be opened once."""
        return f'http://{ADDRESS}:{self.server_address[1]}/?token={self.token}'

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers who went away."""


def make_server(port: int, desk: Desk) -> DeskServer:
    """Open the port.

    Raises
    ------
    OSError
        If it is taken.
    """
    return DeskServer(port, desk)


class _Handler(BaseHTTPRequestHandler):
    server: DeskServer
    server_version = 'csvdprep'
    sys_version = ''
    protocol_version = 'HTTP/1.1'
    timeout = _IDLE_S

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def do_GET(self):
        self._answer(self._get)

    def do_HEAD(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: addresses hold labels of participants."""

    def _answer(self, work: Callable[[str, dict[str, str]], None]) -> None:
        """Check who asks, and turn what goes wrong into an answer."""
        try:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            if not self._is_local():
                raise _Denied('This address is not served.')
            if 'token' in query and parts.path == '/':
                self._enter(query['token'])
                return
            if not self._is_known():
                raise _Denied('Open the address that csvdprep review printed, with its token.')
            work(unquote(parts.path, errors='strict'), query)
        except _Denied as error:
            self._fail(HTTPStatus.FORBIDDEN, str(error))
        except NotFound as error:
            self._fail(HTTPStatus.NOT_FOUND, str(error))
        except FAULTS as error:
            self._fail(HTTPStatus.UNPROCESSABLE_ENTITY, _words(error))
        except (ValueError, UnicodeError):
            self._fail(HTTPStatus.BAD_REQUEST, 'The request cannot be read.')
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except (OSError, CsvdprepError) as error:
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, _words(error))

    def _is_local(self) -> bool:
        """Refuse names by which another site could reach this address (DNS rebinding)."""
        host = self.headers.get('Host', '')
        return re.fullmatch(r'(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?', host) is not None

    def _is_known(self) -> bool:
        given = self.headers.get('X-Csvdprep-Token', '')
        if not given:
            try:
                cookie = SimpleCookie(self.headers.get('Cookie', ''))
            except CookieError:
                return False
            given = cookie[self.server.cookie].value if self.server.cookie in cookie else ''
        return secrets.compare_digest(given.encode(), self.server.token.encode())

    def _enter(self, token: str) -> None:
        """Give the browser the token as a cookie, and take it out of the address."""
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _Denied('The token is not the one that csvdprep review printed.')
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header('Location', '/')
        self.send_header(
            'Set-Cookie',
            f'{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict',
        )
        self.send_header('Content-Length', '0')
        self.send_header('Referrer-Policy', 'no-referrer')
        self.end_headers()

    def _get(self, path: str, query: dict[str, str]) -> None:
        desk, rater = self.server.desk, query.get('rater', '')
        rater = desk.rater or rater
        if path == '/':
            path = '/static/index.html'
        if path.startswith('/static/'):
            name = path.removeprefix('/static/')
            if name not in PAGE:
                raise NotFound('There is no such file.')
            self._send((STATIC / name).read_bytes(), PAGE[name], policy=_POLICY)
        elif path == '/api/about':
            self._json(desk.about())
        elif path == '/api/visits':
            self._json(desk.visits(rater))
        elif path == '/api/visit':
            self._json(desk.visit(query.get('visit', ''), rater))
        elif path == '/api/volume.nii':
            visit, key = query.get('visit', ''), query.get('key', '')
            if query.get('edited'):
                data = desk.edited(visit, key, rater)
            else:
                data = desk.volume(visit, key, int(query.get('step', '1')))
            self._send(data, 'application/octet-stream')
        elif path == '/api/mni':
            point = [float(part) for part in query.get('at', '').split(',')]
            if len(point) != 3 or not all(abs(p) < 1000 for p in point):
                raise Refused('A position has three numbers.')
            self._json(desk.mni(query.get('visit', ''), point))
        elif path == '/api/agreement':
            self._json(desk.agreement(rater))
        elif path.startswith('/report/'):
            self._report(path.removeprefix('/report/'))
        else:
            raise NotFound('There is no such page.')

    def _report(self, name: str) -> None:
        """Serve a report or one of its figures, and nothing else of the folder."""
        desk = self.server.desk
        if desk.blind:
            raise Refused('Reports tell what the machine found; this desk is blinded.')
        root = desk.output_dir.resolve()
        if not _REPORT.fullmatch(name):
            raise NotFound('There is no such report.')
        file = (root / name).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            raise NotFound('There is no such report.')
        data = file.read_bytes()
        if file.suffix == '.html':
            data = _linked(data, file.stem)
        self._send(data, _KINDS[file.suffix], policy=_REPORT_POLICY)

    def _post(self, path: str, query: dict[str, str]) -> None:
        if self.headers.get(GUARD) != '1':
            raise _Denied('Only the page of the desk may save.')
        origin = self.headers.get('Origin')
        if origin is not None and origin != f'http://{self.headers.get("Host")}':
            raise _Denied('Only the page of the desk may save.')
        desk = self.server.desk
        if path == '/api/rate':
            given = json.loads(self._body(_MOST_BODY))
            if not isinstance(given, dict):
                raise ValueError('no object')
            self._json(desk.rate(given))
        elif path == '/api/mask':
            data = self._body(_MOST_MASK)
            visit, key = query.get('visit', ''), query.get('key', '')
            self._json(desk.save_mask(visit, key, query.get('rater', ''), data))
        else:
            raise NotFound('There is no such page.')

    def _body(self, most: int) -> bytes:
        length = self.headers.get('Content-Length', '')
        if not length.isdecimal() or int(length) > most:
            self.close_connection = True
            raise Refused('The request is too large.')
        data = self.rfile.read(int(length))
        if len(data) != int(length):
            raise ConnectionError('the client went away')
        return data

    def _json(self, value: Any) -> None:
        text = json.dumps(value, allow_nan=False, default=float)
        self._send(text.encode(), _JSON)

    def _fail(self, code: HTTPStatus, said: str) -> None:
        if self.command == 'POST' and not self.close_connection:
            # What was not read of the body would be taken for the next request.
            self.close_connection = True
        self._send(json.dumps({'error': said}).encode(), _JSON, code=code)

    def _send(
        self, data: bytes, kind: str, *, policy: str = '', code: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(code)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(data)))
        # Images of patients do not belong into the cache of a browser.
        self.send_header('Cache-Control', 'no-store')
        self.send_header('X-Content-Type-Options', 'nosniff')
        self.send_header('Referrer-Policy', 'no-referrer')
        self.send_header('Cross-Origin-Resource-Policy', 'same-origin')
        self.send_header('Content-Security-Policy', policy or "default-src 'none'")
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(data)


class _Denied(Exception):  # noqa: N818
    """The client may not ask this."""


def _words(error: Exception) -> str:
    if isinstance(error, CsvdprepError):
        return ' '.join(filter(None, (error.message, error.remedy)))
    return str(error)


def _linked(page: bytes, label: str) -> bytes:
    """Lead from a report back to the desk."""
    target = '/' if label == 'group' else f'/#visit={quote(label)}'
    link = f'<p class="desk"><a href="{target}" target="_top">Open in the review desk</a></p>'
    lesion = f'<a href="{target}&amp;lesion=\\2" target="_top" title="Review desk">\\3</a>'
    page = _LESION.sub(rb'\1' + lesion.encode() + rb'\4', page)
    picture = f'<a data-lesion="\\1" href="{target}&amp;lesion=\\1" target="_top"'
    page = _PICTURE.sub(picture.encode(), page)
    found = re.search(rb'<body[^>]*>', page)
    at = found.end() if found else 0
    return page[:at] + link.encode() + page[at:]
