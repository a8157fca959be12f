"""The page: `python app.py` opens it on http://127.0.0.1:7860.

`--help` tells host, port, weights, limits, share, auth.
"""

import logging
import os
import sys

from stm_core.commands.signals import interrupted, take_interrupts


def main() -> int:
    """Read the options, load the network, serve the page."""
    from demo.limits import PREFIX, Limits
    from stm_core.commands.flags import add_flags, made_from
    from stm_core.commands.option_values import whole_number
    from stm_core.commands.options import Parser
    from stm_core.errors import OptionError, StmError

    parser = Parser(prog="app.py", description=__doc__)
    parser.add_argument(
        "--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="0.0.0.0: all networks"
    )
    parser.add_argument(
        "--port",
        type=whole_number(1, 65535),
        default=os.environ.get("GRADIO_SERVER_PORT", "7860"),
        help="default: 7860",
    )
    parser.add_argument(
        "--weights", default=os.environ.get("STM_LIVE_WEIGHTS", "compact"), help="compact, paper:PATH or PATH"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="auto", help="auto, fp32, bf16 or fp16")
    parser.add_argument("--share", action="store_true", help="also a public address, through Gradio's tunnel")
    parser.add_argument(
        "--auth", default=os.environ.get("STM_LIVE_AUTH"), metavar="USER:PASSWORD", help="ask for a login"
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        group = parser.add_argument_group("limits", f"each is also an environment variable, {PREFIX}NAME")
        add_flags(group, Limits, os.environ, PREFIX)
        arguments = parser.parse_args()
        limits = made_from(Limits, arguments)
        if arguments.auth and ":" not in arguments.auth:
            raise OptionError("--auth is not USER:PASSWORD; put a colon between the two")
        # In this order: ZeroGPU's library before torch, and Gradio, slow to load, after what may be wrong.
        import demo.engine  # noqa: F401
        from stm_core.networks.weights import load_model

        model = load_model(arguments.weights, device=arguments.device, dtype=arguments.dtype)
        from demo.ui import build_app, launch_options
    except StmError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    auth = tuple(arguments.auth.split(":", 1)) if arguments.auth else None
    try:
        build_app(model, limits).launch(
            server_name=arguments.host,
            server_port=arguments.port,
            share=arguments.share,
            auth=auth,
            **launch_options(limits),
        )
    except OSError as error:  # the port is taken, or the cache folder cannot be made
        print(f"app.py: {error}; choose another --port, --host or --cache", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    take_interrupts("app.py")
    try:
        code = main()
    except KeyboardInterrupt:  # while it was loading: the server ends by itself
        code = interrupted("app.py")
    sys.exit(code)
