// A notice of the system when a clip is done while the page is not looked at.
import { tell } from "./trouble.js";

const KEY = "newsreel notices";
const WORDS = {
  COMPLETED: "The clip is ready",
  FAILED: "The clip did not work",
  Ready: "The clip is ready",
  "Did not work": "The clip did not work",
};
const told = new Set();

const wanted = () => localStorage.getItem(KEY) === "on" && Notification.permission === "granted";

export function offerNotices() {
  const button = document.getElementById("notify");
  if (!button || !("Notification" in window)) return;
  const show = () => button.setAttribute("aria-pressed", String(wanted()));
  button.hidden = false;
  show();
  button.addEventListener("click", async () => {
    const on = wanted();
    if (!on && (await Notification.requestPermission()) !== "granted")
      tell("This browser does not let the page notify you; its settings say so.");
    localStorage.setItem(KEY, on ? "off" : "on");
    show();
  });
}

export function noticeOf({ job, state }) {
  const words = WORDS[state];
  if (!words || !("Notification" in window) || !wanted() || !document.hidden) return;
  const name = document.querySelector(`[data-job="${job}"]`)?.dataset.name;
  if (!name || told.has(job + words)) return;
  told.add(job + words);
  const notice = new Notification(words, { body: name, tag: job, icon: "/static/icon.svg" });
  notice.onclick = () => {
    focus();
    location.href = `/clips/${job}`;
  };
}
