// Photographs of the form: chosen, dropped or pasted, and shown as the clip will crop them.

let input = null,
  changed = null,
  shown = [];

export const photographs = () => [...input.files];

export function setPhotographs(files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  show();
}

export function watchPhotographs(form, whenChanged) {
  input = document.getElementById("image");
  changed = whenChanged;
  input.addEventListener("change", show);
  form.elements.fit.addEventListener("change", () => {
    document.getElementById("drop").dataset.fit = form.elements.fit.value;
  });
  form.elements.prompt.addEventListener("input", () => {
    document.getElementById("written").textContent = form.elements.prompt.value.slice(0, 60);
  });
  document.getElementById("chosen").addEventListener("error", cannotShow);
  watchDrop(document.getElementById("drop"));
  document.addEventListener("paste", paste);
  if (input.files.length) show();
}

// The whole page takes what is dropped: a photograph beside the frame must not replace the page.
function watchDrop(drop) {
  for (const kind of ["dragenter", "dragover"])
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.add("over");
    });
  for (const kind of ["dragleave", "drop"])
    document.addEventListener(kind, (event) => {
      if (kind === "dragleave" && event.relatedTarget) return;
      drop.classList.remove("over");
    });
  document.addEventListener("drop", (event) => {
    const files = pictures(event.dataTransfer?.files);
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    if (files.length) take(files);
  });
}

function paste(event) {
  const files = pictures(event.clipboardData?.files);
  if (!files.length) return;
  event.preventDefault();
  take(files);
}

const pictures = (files) => [...(files ?? [])].filter((file) => file.type.startsWith("image/"));

function take(files) {
  setPhotographs(files);
  changed();
}

function show() {
  for (const address of shown) URL.revokeObjectURL(address);
  shown = photographs().map((file) => URL.createObjectURL(file));
  const image = document.getElementById("chosen"),
    any = shown.length > 0;
  if (any) {
    image.src = shown[0];
    image.alt = `The photograph ${input.files[0].name}`;
    document.getElementById("photograph-of").value = "";
  }
  image.hidden = !any;
  document.getElementById("invite").hidden = any;
  const count =
    shown.length > 1
      ? `${shown.length} photographs: each becomes a clip.`
      : "The frame shows what the clip will show.";
  document.getElementById("image-hint").textContent = count;
  list();
}

// Browsers do not show every format that the service reads, such as TIFF.
function cannotShow() {
  document.getElementById("chosen").hidden = true;
  document.getElementById("invite").hidden = false;
  if (input.files.length)
    document.getElementById("image-hint").textContent =
      `This browser cannot show ${input.files[0].name}; it can be sent all the same.`;
}

function list() {
  const place = document.getElementById("several");
  place.hidden = shown.length < 2;
  place.replaceChildren(...(shown.length < 2 ? [] : shown.map(item)));
}

function item(address, at) {
  const entry = document.createElement("li"),
    image = document.createElement("img"),
    button = document.createElement("button");
  image.src = address;
  image.alt = input.files[at].name;
  button.type = "button";
  button.textContent = "×";
  button.setAttribute("aria-label", `Leave out ${input.files[at].name}`);
  button.addEventListener("click", () => take(photographs().filter((_, index) => index !== at)));
  entry.append(image, button);
  return entry;
}
