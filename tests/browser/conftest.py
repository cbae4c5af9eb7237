"""JupyterLab and Voilà, started by the tests on free local ports and driven in Debian's Chromium.

Where one of them is absent the tests skip and say which; with ``CI=true`` in the environment they fail instead.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NEEDED = ("ipywidgets", "jupyterlab", "voila", "playwright")


def missing() -> list[str]:
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return absent + ([] if shutil.which(CHROMIUM) else [f"chromium ({CHROMIUM})"])


@pytest.fixture(scope="session", autouse=True)
def needed():
    absent = missing()
    if absent:
        text = f"browser tests need {', '.join(absent)}: pip install '.[notebook,browser]', apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Where the screenshots go: BROWSER_SHOTS, or a temporary folder."""
    folder = Path(os.environ.get("BROWSER_SHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium(needed):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 1380, "height": 900})
    page.set_default_timeout(60_000)
    yield page
    page.close()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A folder with a notebook that shows the panel; ``home`` keeps Jupyter away from the user's own settings."""
    folder = tmp_path_factory.mktemp("panel")
    root = Path(__file__).resolve().parents[2]
    source = (
        "import feasibility as fz\n"
        "from feasibility.widgets import what_if_panel\n"
        'protocol = fz.load_trial("NCT06642025")\n'
        f"cohort = fz.read_cohort({str(root / 'synthetic_data' / 'registry_sample.csv')!r}, protocol.columns)\n"
        "panel = what_if_panel(cohort, protocol)\n"
        "panel"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "panel.ipynb")
    settings = folder / "home" / "lab" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def voila(workspace, needed):
    port = free_port()
    command = ["voila", "panel.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    with served(command, workspace, f"http://127.0.0.1:{port}/static/favicons/favicon.ico"):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def lab(workspace, needed):
    port = free_port()
    command = [
        "jupyterlab", "--no-browser", "--allow-root", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={workspace}", f"--port={port}", "--ip=127.0.0.1",
    ]  # fmt: skip
    with served(command, workspace, f"http://127.0.0.1:{port}/api"):
        yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class served:  # noqa: N801
    """A Jupyter server in its own home, stopped at the end together with its kernels."""

    def __init__(self, command, workspace: Path, ready: str):
        home = workspace / "home"
        places = {
            "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
            "JUPYTER_RUNTIME_DIR": home / "runtime", "JUPYTERLAB_SETTINGS_DIR": home / "lab",
            "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces", "IPYTHONDIR": home / "ipython",
        }  # fmt: skip
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
        self.environment = os.environ | {k: str(v) for k, v in places.items()}
        self.environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        self.command, self.workspace, self.ready = command, workspace, ready

    def __enter__(self):
        self.log = (self.workspace / f"{self.command[0]}.log").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.command], cwd=self.workspace, env=self.environment,
            stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.ready, timeout=5).close()
                return self
            except urllib.error.HTTPError as error:
                error.close()
                return self  # it answers
            except OSError:
                time.sleep(0.1)
        text = Path(self.log.name).read_text(encoding="utf-8")
        self.__exit__()
        raise RuntimeError(f"{self.command[0]} did not start:\n{text[-3000:]}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
