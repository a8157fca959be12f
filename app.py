"""Serve the page: `python app.py` opens it on http://127.0.0.1:7860."""

import argparse
import logging
import os
import sys

from stm_core.commands.signals import interrupted, take_interrupts


def main() -> int:
    """Read the options, load the network, serve the page."""
    from demo.limits import Limits
    from stm_core.commands.flags import made_from
    from stm_core.errors import StmError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        arguments, auth = read_options()
        limits = made_from(Limits, arguments)
        # The order matters: ZeroGPU's library before torch, and Gradio last, because it loads slowly.
        import demo.engine.device  # noqa: F401
        from stm_core.networks.weights import load_model

        chosen = {name: getattr(arguments, name) for name in ("device", "dtype", "engine")}
        model = load_model(arguments.weights, **chosen)
        from demo.web.page import build_app, launch_options

        page, options = build_app(model, limits), launch_options(limits)
        page.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            share=arguments.share,
            auth=auth,
            **options,
        )
    except StmError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # the port is taken, or the cache folder cannot be made
        print(f"app.py: {error}; choose another --port, --host or --cache", file=sys.stderr)
        return 2
    return 0


def read_options() -> tuple[argparse.Namespace, tuple[str, str] | None]:
    """(options, (user, password) or None).  The password is removed from argv and from the environment.

    No error shows any part of it.  Raises OptionError.
    """
    from demo.guard.sandbox import wipe
    from stm_core.errors import OptionError

    auth, parser = wipe("STM_LIVE_AUTH"), make_parser()
    arguments, rest = parser.parse_known_args()
    if rest:
        secret = arguments.auth is not None or any(word.startswith("--a") for word in rest)
        parser.error(f"unrecognized arguments{'' if secret else ': ' + ' '.join(rest)}")
    auth, arguments.auth = arguments.auth or auth, None
    del sys.argv[1:]  # multiprocessing passes it on to every process that it starts
    if not auth:
        return arguments, None
    user, _, password = auth.partition(":")
    if not (user and password):
        raise OptionError("--auth or STM_LIVE_AUTH is not USER:PASSWORD; put a colon between the two")
    return arguments, (user, password)


def make_parser() -> argparse.ArgumentParser:
    """The options; their defaults are taken from the environment."""
    from demo.limits import PREFIX, Limits
    from stm_core.commands.flags import add_flags
    from stm_core.commands.option_values import whole_number
    from stm_core.commands.options import Parser

    parser = Parser(prog="app.py", description=__doc__)
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to listen on; 0.0.0.0: all networks (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(1, 65535),
        default=os.environ.get("GRADIO_SERVER_PORT", "7860"),
        help="default: 7860",
    )
    parser.add_argument(
        "--weights",
        default=os.environ.get("STM_LIVE_WEIGHTS", "compact"),
        help="compact (bundled), paper:PATH (the published checkpoint) or PATH of a weights file",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--dtype", default="auto", help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--engine", default="auto", help="auto, torch or openvino (default: auto)")
    parser.add_argument(
        "--share", action="store_true", help="also serve on a public address, through Gradio's tunnel"
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="ask for a login; other users of this machine can read it in the list of processes, so rather "
        "set the environment variable STM_LIVE_AUTH",
    )
    group = parser.add_argument_group("limits", f"each is also an environment variable, {PREFIX}NAME")
    add_flags(group, Limits, os.environ, PREFIX)
    return parser


if __name__ == "__main__":
    take_interrupts("app.py")
    try:
        code = main()
    except KeyboardInterrupt:  # while loading; the server itself handles Ctrl-C later
        code = interrupted("app.py")
    sys.exit(code)
