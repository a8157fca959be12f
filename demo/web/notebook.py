"""The page inside a notebook: served by its kernel, shown in its cell."""

from demo.limits import Limits
from demo.web.page import Page, build_app, launch_options
from stm_core import Model, load_model


def show_page(
    model: Model | None = None, *, share: bool = False, height: int = 900, **limits: object
) -> Page:
    """Serve the page from this kernel and show it below the cell; `close()` ends it.

    model: a loaded one; None: the bundled network.
    share: serve through Gradio's public tunnel. Without it the page is reached on the kernel's own machine,
        in Colab through its private proxy, which only you can use.
    height: pixels of the page in the cell.
    limits: fields of `demo.limits.Limits`, such as max_frames=300.
    Raises OptionError for a limit that makes no sense, and what `load_model` raises.
    """
    found = Limits(**limits)
    page = build_app(model or load_model(), found)
    page.launch(
        inline=True, share=share, height=height, quiet=True, prevent_thread_lock=True, **launch_options(found)
    )
    return page
