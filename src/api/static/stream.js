// A shared worker: one stream of news for all tabs of this browser, however many there are.
"use strict";

const AGAIN_MS = 5000;
const KINDS = ["state", "progress", "preview", "approval"];
const ports = new Set();
let source = null,
  open = false,
  last = "";

onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = (message) => {
    if (message.data === "bye") ports.delete(port);
  };
  port.postMessage({ kind: open ? "open" : "closed" });
  if (source === null) begin();
};

function say(message) {
  for (const port of ports) port.postMessage(message);
}

function begin() {
  source = new EventSource(last ? `/jobs/events?after=${last}` : "/jobs/events");
  source.addEventListener("hello", (event) => {
    open = true;
    last = event.lastEventId;
    say({ kind: "open" });
  });
  for (const kind of KINDS)
    source.addEventListener(kind, (event) => {
      last = event.lastEventId;
      say({ kind, data: JSON.parse(event.data) });
    });
  source.onerror = lost;
}

// A browser gives a stream up for good when it is answered with an error; this does not.
function lost() {
  if (open) say({ kind: "closed" });
  open = false;
  if (source.readyState !== EventSource.CLOSED) return;
  source.close();
  source = null;
  setTimeout(() => {
    if (source === null && ports.size) begin();
  }, AGAIN_MS);
}
