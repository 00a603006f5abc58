"""Fetching: pinned, resumable, cached, atomic. A server on this machine stands for the network."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import socketserver
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sportcore import fetch
from sportcore.errors import InputError
from sportcore.fetch import FetchError, NpmPackage, Url, Wheel, cache_dir, download, extract_members

DATA = bytes(range(256)) * 4000
SHA = hashlib.sha256(DATA).hexdigest()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves DATA; ``ranges``: it resumes; ``cut``: so many bytes per answer; ``seen``: the Range headers."""

    daemon_threads = True
    ranges = True
    cut: int | None = None
    body = DATA
    status: int | None = None
    seen: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.seen.append(wanted)
        body, start = self.server.body, 0
        if self.server.status is not None:
            self.send_error(self.server.status)
            return
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if self.server.cut is None else start + self.server.cut
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch.time, "sleep", lambda s: None)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.seen = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: Server, name: str = "model.bin") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


def test_download_and_progress(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    path = download(
        address(server), tmp_path / "m.bin", sha256=SHA, size=len(DATA), progress=lambda *a: calls.append(a)
    )
    assert path.read_bytes() == DATA
    assert calls[-1] == (len(DATA), len(DATA), "fetch m.bin")
    assert [c[0] for c in calls] == sorted(c[0] for c in calls)
    assert not list(tmp_path.glob("*.part"))
    download(address(server), path, sha256=SHA)
    assert len(server.seen) == 1, "a file that is there and whole is not fetched again"


def test_resumes_where_it_stopped(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    (tmp_path / "m.bin.part").write_bytes(DATA[:300_000])
    download(address(server), target, sha256=SHA)
    assert server.seen == ["bytes=300000-"]
    assert target.read_bytes() == DATA


def test_connection_that_breaks_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut = 400_000
    target = download(address(server), tmp_path / "m.bin", sha256=SHA, attempts=5)
    assert target.read_bytes() == DATA
    assert server.seen == [None, "bytes=400000-", "bytes=800000-"]


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "m.bin.part").write_bytes(DATA[:300_000])
    assert download(address(server), tmp_path / "m.bin", sha256=SHA).read_bytes() == DATA


def test_stale_part_of_another_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.bin.part").write_bytes(b"x" * 300_000)
    assert download(address(server), tmp_path / "m.bin", sha256=SHA).read_bytes() == DATA
    assert server.seen == ["bytes=300000-", None]


def test_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.bin.part").write_bytes(DATA + b"more")
    assert download(address(server), tmp_path / "m.bin", sha256=SHA).read_bytes() == DATA


def test_wrong_content_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.body = b"<html>please log in</html>"
    with pytest.raises(FetchError, match="expected " + SHA):
        download(address(server), tmp_path / "m.bin", sha256=SHA, size=len(DATA))
    assert len(server.seen) == 1
    assert not (tmp_path / "m.bin").exists() and not (tmp_path / "m.bin.part").exists()


def test_endless_answer_is_cut(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        download(address(server), tmp_path / "m.bin", sha256=SHA, size=1000)
    assert not (tmp_path / "m.bin").exists()


def test_not_found_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(FetchError, match="HTTP 404"):
        download(address(server), tmp_path / "m.bin", sha256=SHA)
    assert len(server.seen) == 1
    server.status = 503
    with pytest.raises(FetchError, match="HTTP 503"):
        download(address(server), tmp_path / "m.bin", sha256=SHA)
    assert len(server.seen) == 4


def test_offline_says_what_to_do(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPORTCORE_CACHE", str(tmp_path))
    server.status = 500
    source = Url(address(server), SHA, len(DATA))
    with pytest.raises(FetchError) as caught:
        fetch.fetch(source)
    for needed in (source.url, SHA, str(tmp_path / "downloads" / "model.bin")):
        assert needed in caught.value.remedy
    # doing what it says works
    (tmp_path / "downloads" / "model.bin").write_bytes(DATA)
    assert fetch.fetch(source).read_bytes() == DATA


def test_cancelling_keeps_what_arrived(server: Server, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def progress(done: int, total: int, message: str) -> None:
        raise Stop

    with pytest.raises(Stop):
        download(address(server), tmp_path / "m.bin", sha256=SHA, progress=progress)
    have = (tmp_path / "m.bin.part").stat().st_size
    assert 0 < have
    assert download(address(server), tmp_path / "m.bin", sha256=SHA).read_bytes() == DATA
    assert server.seen[1] == f"bytes={have}-"


def test_only_http(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an http"):
        download("file:///etc/passwd", tmp_path / "x", sha256=SHA)


def test_two_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="no file locks on this system")
    threads = [
        threading.Thread(target=download, args=(address(server), tmp_path / "m.bin"), kwargs={"sha256": SHA})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "m.bin").read_bytes() == DATA and len(server.seen) == 1


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPORTCORE_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("SPORTCORE_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "sportcore"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() != Path("relative") / "sportcore"
    assert not (tmp_path / "own").exists(), "asking makes no folder"


# --- archives ---------------------------------------------------------------------------------------------------


def tgz(members: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def test_single_members_come_out(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(tgz({"package/one.bin": b"one", "package/evil.sh": b"exit 1"}))
    out = extract_members(tmp_path / "a.tgz", {"package/one.bin": tmp_path / "out" / "1"})
    assert out["package/one.bin"].read_bytes() == b"one"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1"]
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as wheel:
        wheel.writestr("pkg/two.bin", b"two")
    assert extract_members(tmp_path / "b.whl", {"pkg/two.bin": tmp_path / "2"})["pkg/two.bin"].read_bytes() == b"two"


def test_faulty_archives_are_refused(tmp_path: Path) -> None:
    good = tgz({"package/one.bin": os.urandom(50_000)})
    (tmp_path / "a.tgz").write_bytes(good)
    with pytest.raises(FetchError, match=r"no member package/two\.bin; it has package/one\.bin"):
        extract_members(tmp_path / "a.tgz", {"package/two.bin": tmp_path / "x"})
    with pytest.raises(FetchError, match="more than the allowed"):
        extract_members(tmp_path / "a.tgz", {"package/one.bin": tmp_path / "x"}, max_bytes=10)
    (tmp_path / "cut.tgz").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.tgz").write_text("hello")
    for name in ("cut.tgz", "text.tgz"):
        with pytest.raises(FetchError, match="damaged"):
            extract_members(tmp_path / name, {"package/one.bin": tmp_path / "x"})
    with pytest.raises(FetchError, match="no archive"):
        extract_members(tmp_path / "none.tgz", {})
    assert not (tmp_path / "x").exists()


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "l.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("package/link.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(FetchError):
        extract_members(tmp_path / "l.tgz", {"package/link.bin": tmp_path / "x"})
    assert not (tmp_path / "x").exists()


# --- package clients (stand-ins that behave like them) ---------------------------------------------------------------

ARCHIVE = tgz({"package/one.bin": b"one"})
PACKAGE = NpmPackage("@scope/thing", "1.2.3", hashlib.sha256(ARCHIVE).hexdigest(), len(ARCHIVE))


def fake_client(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys, os, time\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.skipif(os.name == "nt", reason="stand-in clients are scripts")
def test_npm_client_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "the.tgz").write_bytes(ARCHIVE)
    fake_client(
        tmp_path / "bin",
        "npm",
        "assert sys.argv[1:3] == ['pack', '@scope/thing@1.2.3'] and '--ignore-scripts' in sys.argv\n"
        "time.sleep(0.3)\n"
        f"data = open({str(tmp_path / 'the.tgz')!r}, 'rb').read()\n"
        "open(os.path.join(sys.argv[-1], 'scope-thing-1.2.3.tgz'), 'wb').write(data)\n",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    calls: list[tuple[int, int, str]] = []
    path = fetch.fetch(PACKAGE, folder=tmp_path / "d", progress=lambda *a: calls.append(a))
    assert path.name == "scope-thing-1.2.3.tgz" and path.read_bytes() == ARCHIVE
    assert calls[-1][:2] == (len(ARCHIVE), len(ARCHIVE))
    assert not [p for p in (tmp_path / "d").iterdir() if p.is_dir()], "no temporary folder is left"


@pytest.mark.skipif(os.name == "nt", reason="stand-in clients are scripts")
@pytest.mark.parametrize("client", ["none", "fails", "gives another file"])
def test_registry_address_without_a_working_client(
    client: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = ARCHIVE
    registry = address(server, "registry")
    if client == "fails":
        fake_client(tmp_path / "bin", "npm", f"print({registry!r}) if sys.argv[1] == 'config' else sys.exit(3)")
    elif client == "gives another file":
        body = (
            f"if sys.argv[1] == 'config': print({registry!r})\n"
            "else: open(os.path.join(sys.argv[-1], 'a.tgz'), 'w').write('x')\n"
        )
        fake_client(tmp_path / "bin", "npm", body)
    else:
        monkeypatch.setenv("npm_config_registry", registry)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert fetch.fetch(PACKAGE, folder=tmp_path / "d").read_bytes() == ARCHIVE
    assert PACKAGE.registry_path == "@scope/thing/-/thing-1.2.3.tgz"


@pytest.mark.skipif(os.name == "nt", reason="stand-in clients are scripts")
def test_cancelling_ends_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "pid"
    fake_client(tmp_path / "bin", "npm", f"open({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def progress(done: int, total: int, message: str) -> None:
        if mark.exists() and mark.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch(PACKAGE, folder=tmp_path / "d", progress=progress)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_pip_is_asked_for_the_named_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a wheel"
    wheel = Wheel(
        "thing", "1.0", "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", hashlib.sha256(data).hexdigest(), 7
    )
    asked: list[list[str]] = []

    def run(command: list[str], folder: str, source: Wheel, progress: object) -> None:
        asked.append(list(command))
        (Path(folder) / wheel.file_name).write_bytes(data)

    monkeypatch.setattr(fetch, "_run", run)
    assert fetch.fetch(wheel, folder=tmp_path).read_bytes() == data
    command = asked[0]
    assert command[-1] == "thing==1.0" and "--no-deps" in command and "--only-binary=:all:" in command
    for option, value in (("--python-version", "311"), ("--abi", "cp311"), ("--platform", "manylinux_2_28_x86_64")):
        assert command[command.index(option) + 1] == value
    monkeypatch.setattr(fetch, "_run", lambda c, f, s, p: (Path(f) / wheel.file_name).write_bytes(b"another"))
    (tmp_path / wheel.file_name).unlink()
    with pytest.raises(FetchError, match="expected") as caught:
        fetch.fetch(wheel, folder=tmp_path)
    assert "pypi.org/project/thing/1.0" in caught.value.remedy
