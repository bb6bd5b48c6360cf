// Two clips in step: one clock for both, frame by frame too.
const FRAME_S = 1 / 8;

export function playInStep() {
  const place = document.getElementById("in-step"),
    bar = document.getElementById("transport");
  if (!place || !bar) return;
  const films = [...place.querySelectorAll("video")];
  if (!films.length) return;
  for (const film of films) film.controls = false;
  bar.hidden = false;
  steer(films, films[0]);
}

function steer(films, first) {
  const both = document.getElementById("both"),
    time = document.getElementById("time");
  const others = films.slice(1);
  const jump = (to) => {
    const length = first.duration || 1;
    for (const film of films) film.currentTime = Math.min(Math.max(0, to), length);
  };
  const step = (by) => {
    pause();
    jump(first.currentTime + by * FRAME_S);
  };
  const pause = () => films.forEach((film) => film.pause());
  const play = () => {
    jump(first.currentTime);
    films.forEach((film) => film.play().catch(() => {}));
  };
  const toggle = () => (first.paused ? play() : pause());
  both.addEventListener("click", toggle);
  document.getElementById("back").addEventListener("click", () => step(-1));
  document.getElementById("on").addEventListener("click", () => step(1));
  time.addEventListener("input", () => {
    pause();
    jump(time.value * (first.duration || 1));
  });
  for (const kind of ["play", "pause"])
    first.addEventListener(kind, () => showState(both, first.paused));
  first.addEventListener("timeupdate", () => show(first, time));
  follow(first, others);
  document.addEventListener("keydown", (event) =>
    press(event, { " ": toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1) }),
  );
}

// Films drift: the others are set to the first one's time when they are a frame away.
function follow(first, others) {
  const align = () => {
    for (const other of others)
      if (!first.paused && Math.abs(other.currentTime - first.currentTime) > FRAME_S / 2)
        other.currentTime = first.currentTime;
    requestAnimationFrame(align);
  };
  requestAnimationFrame(align);
}

function show(first, time) {
  if (first.duration) time.value = first.currentTime / first.duration;
  document.getElementById("time-text").textContent = `${first.currentTime.toFixed(1)} s`;
}

function showState(both, paused) {
  both.querySelector("span").textContent = paused ? "Play" : "Pause";
  both.querySelector("use").setAttribute("href", `/static/icons.svg#${paused ? "play" : "pause"}`);
}

function press(event, actions) {
  if (
    event.target.closest("input, textarea, dialog") ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey
  )
    return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  if (actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
}
