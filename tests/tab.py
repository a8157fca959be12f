"""A tab without a browser: plain HTTP calls to the page's events, as anybody can send them."""

import json
from pathlib import Path

import httpx

PATIENCE = 600  # seconds for an answer; a busy machine


class Tab:
    """One page of a server.  name: what it calls itself (Gradio's visitor hash); key: of its visit."""

    def __init__(self, url: str, name: str):
        self.url, self.name, self.key = url.rstrip("/"), name, ""
        self.http = httpx.Client(timeout=PATIENCE)
        config = self.http.get(f"{self.url}/config").json()
        self.events = config["dependencies"]
        self.parts = {one["id"]: one["props"] for one in config["components"]}
        self.ids = {props.get("elem_id"): number for number, props in self.parts.items()}
        loads = (one for one in self.events if one["targets"][0][1] == "load")
        self.load = next(one for one in loads if one["inputs"])

    def event(self, part: str, name: str) -> dict:
        """The event that a part, by its id on the page, brings first."""
        target = [self.ids[part], name]
        return next(one for one in self.events if target in map(list, one["targets"]))

    def send(self, event: dict, values: list, sent=None) -> dict:
        """The whole answer to an event; values: of its inputs, of which the first is the key."""
        body = {"fn_index": event["id"], "data": values, "session_hash": self.name, "event_data": sent}
        if not event["queue"]:
            return self.http.post(f"{self.url}/gradio_api/run/predict", json=body).json()
        self.http.post(f"{self.url}/gradio_api/queue/join", json=body).raise_for_status()
        address = f"{self.url}/gradio_api/queue/data"
        with self.http.stream("GET", address, params={"session_hash": self.name}) as answer:
            for line in answer.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the event was not answered")

    def arrive(self, key: str | None = "") -> str:
        """Open the page, with the key of a visit before; the key that it gets comes back and is kept."""
        self.key = self.send(self.load, [key])["output"]["data"][0]
        return self.key

    def do(self, part: str, name: str, sent=None, **given) -> dict:
        """An event with the page's own values, but those given by the id of their part."""
        event = self.event(part, name)
        changed = {self.ids[one]: value for one, value in given.items()}
        values = [changed.get(n, self.parts[n].get("value")) for n in event["inputs"][1:]]
        return self.send(event, [self.key, *values], sent)

    def upload(self, path: Path) -> dict:
        """A file on the server, as a value of a part."""
        files = {"files": (path.name, path.read_bytes())}
        (there,) = self.http.post(f"{self.url}/gradio_api/upload", files=files).json()
        return {"path": there, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def order(self, kind: str, **more) -> dict:
        """Objects and history: see demo.panels.mark."""
        return self.do("stage", "order", {"kind": kind, **more})

    def click(self, frame: int, x: int, y: int, size: int) -> dict:
        return self.do("stage", "edit", {"kind": "click", "frame": frame, "x": x, "y": y}, size=size)

    def stroke(self, frame: int, *points: tuple[int, int]) -> dict:
        sent = {"kind": "stroke", "frame": frame, "points": [list(point) for point in points], "radius": 20}
        return self.do("stage", "edit", sent)

    def track(self, **settings) -> dict:
        """Press Track and wait for the end of the run."""
        self.do("track", "click", **settings)
        ready = self.event("track", "click")
        run = next(one for one in self.events if one["trigger_after"] == ready["id"])
        return self.send(run, [self.key])
