"""A real PostgreSQL server for the tests, from the Debian package; without one they skip, but never in CI."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


def _unavailable(why: str):
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must run the PostgreSQL tests: {why}")
    pytest.skip(f"no PostgreSQL server: {why} (apt-get install postgresql; pip install 'psycopg[binary]')")


def _binary(name: str) -> str:
    found = shutil.which(name)
    if not found:
        found = next((str(p) for p in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), "")
    return found


@pytest.fixture(scope="session")
def server():
    """Host directory of the socket, and port."""
    initdb, pg_ctl = _binary("initdb"), _binary("pg_ctl")
    if not initdb or not pg_ctl:
        _unavailable("initdb is not installed")
    if importlib.util.find_spec("psycopg") is None:
        _unavailable("psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="feasibility-pg-"))
    as_user = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            _unavailable("there is no user postgres, and root may not run the server")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": "postgres", "group": user.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, **as_user
        )
        if done.returncode:
            _unavailable(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:] or done.stdout[-300:]}")

    run(initdb, "-D", str(folder / "db"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -k {folder} -c listen_addresses='' -c fsync=off"
    run(pg_ctl, "-D", str(folder / "db"), "-o", options, "-l", str(folder / "log"), "-w", "start")
    yield str(folder), port
    run(pg_ctl, "-D", str(folder / "db"), "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(server):
    """An Ibis connection to a database of its own."""
    import ibis
    import psycopg

    host, port = server
    name = f"t{os.urandom(4).hex()}"
    with psycopg.connect(host=host, port=port, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    con = ibis.postgres.connect(host=host, port=port, user="postgres", database=name)
    yield con
    con.disconnect()
