"""A spec stands for no more than memory holds."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from specs import reading
from specs.reading import SpecError, parsed, read


def test_aliases_stand_for_a_bounded_number_of_values() -> None:
    """A few hundred bytes whose aliases multiply are refused before anything follows them."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for n in range(1, 12):
        lines.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]")
    with pytest.raises(SpecError, match="more than 5,000,000 values"):
        parsed("\n".join(lines), "laugh.yaml")


def test_an_alias_of_itself_is_refused() -> None:
    """A document that holds itself has no end."""
    with pytest.raises(SpecError, match="stands for what it stands in"):
        parsed("a: &a [1, *a]", "loop.yaml")


def test_aliases_that_mean_something_are_followed() -> None:
    """Two places may share one value."""
    assert parsed("a: &a {x: 1}\nb: *a", "fine.yaml") == {"a": {"x": 1}, "b": {"x": 1}}


def test_a_file_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer is refused by its size, and not read."""
    monkeypatch.setattr(reading, "FILE_MAX", 2000)
    file = tmp_path / "long.yaml"
    file.write_text("openapi: 3.1.0\n" + "# long\n" * 1000, "utf-8")
    with pytest.raises(SpecError, match="which is the most that is read"):
        read(str(file))


def test_a_fetched_file_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends without end is left at the limit."""
    monkeypatch.setattr(reading, "FILE_MAX", 200_000)
    sent = 0

    def endless(listener: socket.socket) -> None:
        nonlocal sent
        near, _ = listener.accept()
        with near:
            near.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/yaml\r\n\r\n")
            try:
                while sent < 10**9:
                    sent += near.send(b"# long\n" * 1000)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=endless, args=(listener,), daemon=True).start()
        with pytest.raises(SpecError, match="which is the most that is read"):
            read(f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.yaml")
    assert sent < 10**8


def test_yaml_holds_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small values take much more memory than their file: they are counted first."""
    monkeypatch.setattr(reading, "YAML_MAX", 1000)
    with pytest.raises(SpecError, match="more than 1,000 values"):
        parsed("a: [" + "x," * 5000 + "x]", "many.yaml")
    assert len(parsed("a: [" + "x," * 900 + "x]", "few.yaml")["a"]) == 901
