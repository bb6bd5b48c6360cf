// The list: clips play on hover or focus; two are chosen to compare.
import { still } from "./times.js";

export function watchBoard() {
  prepare(document);
  addEventListener("newsreel:new", (event) => prepare(event.detail));
  document.addEventListener("change", (event) => {
    if (event.target.name === "clip") choose(event.target);
  });
  choose(null);
}

function prepare(root) {
  const faces = root.matches?.(".face") ? [root] : root.querySelectorAll(".face");
  for (const face of faces) {
    const video = face.querySelector("video");
    if (!video) continue;
    for (const kind of ["mouseenter", "focus"]) face.addEventListener(kind, () => play(video));
    for (const kind of ["mouseleave", "blur"]) face.addEventListener(kind, () => stop(video));
  }
  for (const video of root.querySelectorAll("video[data-plays]"))
    if (!still.matches) video.play().catch(() => {}); // where it is forbidden, the poster stays
}

function play(video) {
  if (still.matches) return;
  if (!video.src) video.src = video.dataset.src;
  video.addEventListener(
    "playing",
    () => {
      video.hidden = false;
    },
    { once: true },
  );
  video.hidden = false;
  video.play().catch(() => {
    video.hidden = true;
  }); // no film: the picture stays
}

function stop(video) {
  video.pause();
  video.hidden = true;
  if (video.readyState) video.currentTime = 0;
}

// At most two; a third one takes the place of the first.
const order = [];
function choose(box) {
  if (box) {
    const at = order.indexOf(box.value);
    if (at >= 0) order.splice(at, 1);
    if (box.checked) order.push(box.value);
    while (order.length > 2) {
      const old = document.querySelector(`.pick input[value="${order.shift()}"]`);
      if (old) old.checked = false;
    }
  }
  const form = document.getElementById("compare");
  form?.classList.toggle("usable", order.length > 0);
  const button = form?.querySelector("button");
  if (button)
    button.lastChild.textContent =
      order.length === 1 ? "Compare with its photograph" : "Compare chosen";
}
