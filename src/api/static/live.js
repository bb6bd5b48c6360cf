// News of jobs: one stream for all tabs of this browser, kept by a shared worker. Where there is
// none, or the stream is closed, the page asks by itself; progress cannot die.
import { noticeOf } from "./notices.js";
import { showTimes } from "./times.js";
import { loginNeeded, pageOf, tell } from "./trouble.js";

const ASK_MS = 3000; // without a stream
const LOOK_MS = 10000; // with one: places in the queue change with jobs that others may not see
const TOGETHER_MS = 300; // news that come together are one look
const seen = new Map(); // what of the page came last from the service, by id
let streaming = false,
  due = null,
  looking = false,
  out = false,
  ticks = 0;

export function follow() {
  if (!document.querySelector("[data-live], [data-board]")) return;
  for (const part of document.querySelectorAll("[data-live]")) seen.set(part.id, part.outerHTML);
  listen();
  setInterval(() => {
    if (isDue()) look();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) soon();
  });
  addEventListener("online", soon);
}

function listen() {
  const who = document.querySelector("meta[name=who]")?.content;
  if (!who || typeof SharedWorker === "undefined") return;
  try {
    const worker = new SharedWorker("/static/stream.js", { name: `newsreel ${who}` });
    worker.onerror = () => {
      streaming = false;
    };
    worker.port.onmessage = (message) => hear(message.data);
    worker.port.start();
    addEventListener("pagehide", () => worker.port.postMessage("bye"));
  } catch (error) {
    streaming = false; // some browsers forbid workers in private windows: the page asks then
  }
}

function isDue() {
  if (out || !unfinished()) return false;
  ticks += 1;
  return ticks * 1000 >= (streaming ? LOOK_MS : ASK_MS);
}

// A page that nobody looks at asks only for what its notices wait for.
const unfinished = () =>
  document.querySelector(document.hidden ? "[data-now]" : "[data-now], [data-board]") !== null;

function hear({ kind, data }) {
  if (kind === "open" || kind === "closed") {
    const before = streaming;
    streaming = kind === "open";
    document.documentElement.dataset.stream = kind;
    if (before !== streaming) soon();
  } else if (kind === "progress") showProgress(data);
  else if (kind === "preview") showPicture(data.job);
  else if (kind === "approval") {
    if (concerns(data)) soon();
  } else if (kind === "state") {
    noticeOf(data);
    if (concerns(data)) soon();
  }
}

// On the list, a job that is not there yet is news too.
function concerns(data) {
  return (
    document.querySelector("[data-board]") ||
    partsOf(data.job).length ||
    document.querySelector(`[data-also="${data.job}"]`)
  );
}

const partsOf = (job) => document.querySelectorAll(`[data-job="${job}"]`);

function showProgress({ job, stage, done, total }) {
  for (const part of partsOf(job)) {
    const bar = part.querySelector("progress"),
      now = part.querySelector("[data-now]");
    if (!bar) {
      soon();
      continue;
    }
    bar.max = total || 1;
    bar.value = done;
    const rest = now?.textContent.split(" · ").slice(1).join(" · ");
    if (now && part.dataset.stage === stage)
      now.textContent = [
        now.textContent.replace(/,? ?\d+ %.*$/, "").split(" · ")[0] +
          `, ${Math.floor((100 * done) / (total || 1))} %`,
        rest,
      ]
        .filter(Boolean)
        .join(" · ");
    else if (now) {
      part.dataset.stage = stage;
      soon();
    }
  }
}

function showPicture(job) {
  for (const image of document.querySelectorAll(`[data-picture="/jobs/${job}/picture"]`)) {
    image.hidden = false;
    image.src = `${image.dataset.picture}?${Date.now()}`;
  }
}

export function soon() {
  if (due === null)
    due = setTimeout(() => {
      due = null;
      look();
    }, TOGETHER_MS);
}

async function look() {
  if (looking || out) return;
  looking = true;
  ticks = 0;
  try {
    const answer = await fetch(location.href.split("#")[0], { headers: { Accept: "text/html" } });
    const page = pageOf(await answer.text(), answer.url, answer.status);
    if (page === null) {
      out = true;
      loginNeeded();
    } else if (answer.ok) renew(page);
  } catch (error) {
    document.documentElement.dataset.stream = "away"; // the service is away; the next look comes
  } finally {
    looking = false;
  }
}

// Exchange what has changed, and only that, so that what is played, chosen or focused stays.
function renew(page) {
  for (const part of page.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (old && seen.get(part.id) !== part.outerHTML) exchange(old, part);
    else if (!old) add(part, page);
  }
  for (const old of document.querySelectorAll("[data-list] > [data-live]"))
    if (!page.getElementById(old.id) && !page.querySelector(".following")) old.remove();
}

function exchange(old, part) {
  seen.set(part.id, part.outerHTML);
  const state = (each) => each.querySelector(".state")?.textContent;
  const focus = old.contains(document.activeElement) ? trail(document.activeElement) : null;
  if (onlyWords(old, part)) return;
  const fresh = document.importNode(part, true);
  const chosen = old.querySelector(".pick input")?.checked;
  if (state(old) !== state(part)) {
    tell(`${part.dataset.name}: ${state(part)}`);
    noticeOf({ job: part.dataset.job, state: state(part) });
  }
  old.replaceWith(fresh);
  if (chosen && fresh.querySelector(".pick input"))
    fresh.querySelector(".pick input").checked = true;
  showTimes(fresh);
  if (focus) (fresh.querySelector(focus) ?? fresh.querySelector("a, button"))?.focus();
  dispatchEvent(new CustomEvent("newsreel:new", { detail: fresh }));
}

// Where only the words and the bar of what goes on differ, the rest stays as it is.
function onlyWords(old, part) {
  const bare = (each) => {
    const copy = each.cloneNode(true);
    for (const word of copy.querySelectorAll("[data-now], [data-progress], time, img"))
      word.remove();
    return copy.textContent.replace(/\s+/g, " ");
  };
  const count = (each) => each.querySelectorAll("[data-now], [data-progress], video, form").length;
  if (bare(old) !== bare(part) || count(old) !== count(part)) return false;
  const now = part.querySelectorAll("[data-now]"),
    bars = part.querySelectorAll("progress");
  old.querySelectorAll("[data-now]").forEach((each, at) => {
    if (each.textContent !== now[at].textContent) each.textContent = now[at].textContent;
  });
  old.querySelectorAll("progress").forEach((each, at) => {
    each.max = bars[at].max;
    each.value = bars[at].value;
  });
  return true;
}

const trail = (element) =>
  element.id
    ? `#${element.id}`
    : element.tagName.toLowerCase() + [...element.classList].map((each) => `.${each}`).join("");

function add(part, page) {
  const list = document.querySelector("[data-list]");
  if (!list) return;
  seen.set(part.id, part.outerHTML);
  const fresh = document.importNode(part, true);
  const next = [...page.querySelectorAll("[data-list] > [data-live]")]
    .slice([...part.parentNode.children].indexOf(part) + 1)
    .map((each) => document.getElementById(each.id))
    .find(Boolean);
  list.insertBefore(fresh, next ?? null);
  document.querySelector(".empty")?.remove();
  showTimes(fresh);
  dispatchEvent(new CustomEvent("newsreel:new", { detail: fresh }));
}
