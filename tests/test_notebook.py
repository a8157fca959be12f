"""The notebook runs whole, from a clone, and is stored without outputs."""

import re
from pathlib import Path

import pytest

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
ASSETS = Path(__file__).parents[1] / "assets"
NOTEBOOK = nbformat.read(ASSETS / "stm_live.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


def test_it_is_valid_and_stored_without_outputs():
    nbformat.validate(NOTEBOOK)
    assert not any(cell.outputs or cell.execution_count for cell in CODE)


def test_it_uses_only_public_names():
    import stm_core

    text = "\n".join(cell.source for cell in CODE)
    assert set(re.findall(r"stm_core\.(\w+)", text)) <= set(stm_core.__all__)
    assert set(re.findall(r"(?:from|import) ((?:stm_core|demo)\.[\w.]+)", text)) == {"demo.web.notebook"}


class ColabShell:
    def __repr__(self) -> str:
        return "<google.colab._shell.Shell object at 0x7f0000000000>"


def test_on_colab_the_page_comes_through_the_private_proxy_of_its_port(monkeypatch, tmp_path, tiny_file):
    pytest.importorskip("ipykernel")
    from gradio import networking
    from IPython import display
    from IPython.core import getipython

    from demo.web.notebook import show_page
    from stm_core import load_model

    shown, tunnels = [], []
    monkeypatch.setenv("STM_LIVE_CACHE", str(tmp_path))
    monkeypatch.setattr(getipython, "get_ipython", ColabShell)
    monkeypatch.setattr(display, "display", shown.append)
    monkeypatch.setattr(networking, "setup_tunnel", lambda **how: tunnels.append(how))
    page = show_page(load_model(tiny_file), height=500)
    try:
        [script] = shown
        assert isinstance(script, display.Javascript) and "google.colab.kernel.proxyPort" in script.data
        port, _, _, height = re.search(r'\((\d+), ("/"), ("100%"|\d+), (\d+)', script.data).groups()
        assert int(port) == page.server_port and int(height) == 500
        assert tunnels == [] and page.share_url is None
    finally:
        page.close()


@pytest.mark.slow
def test_it_runs_whole(monkeypatch, tmp_path):
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("STM_LIVE_NOTEBOOK_SIZE", "64")
    monkeypatch.setenv("STM_LIVE_CACHE", str(tmp_path))
    whole = nbformat.from_dict(NOTEBOOK)
    (compared,) = (cell for cell in whole.cells if "stm_core.compare(" in cell.source)
    compared.source = compared.source.replace("prompt, truth", "prompt, ['first', 'bounded'], truth")
    nbclient.NotebookClient(whole, timeout=900, resources={"metadata": {"path": str(ASSETS)}}).execute()
    outputs = [out for cell in whole.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error"]
    printed = "".join(out.text for out in outputs if out.output_type == "stream")
    assert "nothing, all is there" in printed
    shown = [out.data for out in outputs if out.output_type in ("display_data", "execute_result")]
    assert sum("image/png" in data for data in shown) == 4
    assert any(
        re.search(r'<iframe src="http://127\.0\.0\.1:\d+/', data.get("text/html", "")) for data in shown
    )
