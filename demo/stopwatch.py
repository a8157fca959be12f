"""Slows a stopwatch that Gradio (6.19 to 6.31 at least) never stops: the one of its loading screen.

That screen is taken away while its stopwatch runs, which then asks for sixty animation frames a second for as
long as the page is open: between a tenth and a third of a core on a machine without a GPU, and that core may
be the one that computes.  Four a second are enough for a stopwatch.  Delete this file when Gradio stops it.
"""

SCRIPT = b"""<script>{
  const request = window.requestAnimationFrame.bind(window);
  const stopwatch = (callback) => String(callback).includes("performance.now()");
  window.requestAnimationFrame = (callback) =>
    stopwatch(callback) ? setTimeout(() => request(callback), 250) : request(callback);
}</script>"""


class Stopwatch:
    """ASGI middleware: the script at the head of the page, before Gradio's own; all else goes through."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return await self.app(scope, receive, send)
        head, body = {}, b""

        async def whole(message) -> None:
            nonlocal head, body
            if message["type"] == "http.response.start":
                head = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = body.replace(b"<head>", b"<head>" + SCRIPT, 1)
            kept = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
            await send({**head, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, whole)
