"""Make the README's picture of the notebook: python assets/render_notebook.py

Runs assets/stm_live.ipynb whole and packs the figures that it draws, one below the other, as
assets/notebook.webp.
"""

import base64
import io
import sys
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
WIDTH, GAP, QUALITY = 1000, 12, 80  # pixels; WebP's 0 to 100
FIGURES = 3  # the masks, the five memories, the heat maps


def main() -> int:
    """Run the notebook, stack its figures."""
    notebook = nbformat.read(HERE / "stm_live.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(HERE)}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    drawn = [out.data["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    pictures = []
    for data in drawn[:FIGURES]:
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        pictures.append(picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.LANCZOS))
    high = sum(picture.height + GAP for picture in pictures) + GAP
    page, top = Image.new("RGB", (WIDTH + 2 * GAP, high), "white"), GAP
    for picture in pictures:
        page.paste(picture, (GAP, top))
        top += picture.height + GAP
    page.save(HERE / "notebook.webp", quality=QUALITY, method=6)
    print(f"{HERE / 'notebook.webp'}: {page.width}x{page.height}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
