// Dropping a photograph, and progress while a job runs. Everything works without this file, by forms and reloads.
"use strict";

function showPhotograph(input) {
  const file = input.files[0], image = document.getElementById("chosen");
  if (!file) return;
  image.src = URL.createObjectURL(file);
  image.alt = file.name;
  image.hidden = false;
  document.getElementById("drop-text").textContent = file.name;
}

function watchDrop() {
  const drop = document.getElementById("drop"), input = document.getElementById("image");
  if (!drop) return;
  input.addEventListener("change", () => showPhotograph(input));
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"])
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    showPhotograph(input);
  });
}

function watchJob() {
  const live = document.getElementById("live");
  if (!live) return;
  const events = new EventSource(live.dataset.events);
  const stage = document.getElementById("stage"), bar = document.getElementById("bar");
  events.addEventListener("progress", (event) => {
    const data = JSON.parse(event.data);
    stage.textContent = `${data.stage}: ${data.done} of ${data.total}`;
    bar.max = data.total;
    bar.value = data.done;
  });
  events.addEventListener("preview", () => {
    const image = document.getElementById("preview");
    image.src = `${live.dataset.preview}?${Date.now()}`;
    image.hidden = false;
  });
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data).state;
    document.getElementById("state").textContent = state.toLowerCase();
    if (state === "PROCESSING") stage.textContent = "starting";
  });
  events.addEventListener("end", () => { events.close(); location.reload(); });
}

function sendOnce() {
  const form = document.getElementById("submit");
  if (form) form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.disabled = true;
    button.textContent = "Sending";
  });
}

watchDrop();
watchJob();
sendOnce();
