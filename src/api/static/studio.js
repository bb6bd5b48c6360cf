// The form for clips: photographs are chosen, dropped or pasted; drafts are kept; sending shows how
// far it is.
import { forget, keep, recall } from "./draft.js";
import { photographs, setPhotographs, watchPhotographs } from "./photographs.js";
import { send } from "./send.js";
import { calm, complain, complaintOf, loginNeeded, pageOf } from "./trouble.js";

const SKIPPED = new Set(["csrf", "image"]);
let form = null;

export async function watchStudio() {
  form = document.getElementById("submit");
  document.getElementById("logout")?.addEventListener("submit", leave);
  if (!form) return;
  watchPhotographs(form, save);
  form.addEventListener("input", save);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  const begun = new URLSearchParams(location.search).has("again");
  if (!begun && !document.querySelector("#trouble .error")) restore(await recall());
}

function leave(event) {
  if (event.submitter?.dataset.forgotten) return;
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector("button");
  forget().then(() => {
    button.dataset.forgotten = "yes";
    event.target.requestSubmit(button);
  });
}

let saving = null;
function save() {
  clearTimeout(saving);
  saving = setTimeout(() => keep({ fields: fields(), files: photographs() }), 150);
}

function fields() {
  const values = {};
  for (const [name, value] of new FormData(form)) if (!SKIPPED.has(name)) values[name] = value;
  return values;
}

function restore(draft) {
  if (!draft) return;
  for (const [name, value] of Object.entries(draft.fields)) {
    const field = form.elements[name];
    if (!field) continue;
    if (field instanceof RadioNodeList || field.type !== "radio") field.value = value;
    else field.checked = field.value === value;
  }
  if (draft.files.length) setPhotographs(draft.files);
  const { seed, takes, fit, priority } = form.elements;
  form.querySelector(".more").open =
    Boolean(seed.value) ||
    takes.value !== "1" ||
    fit.value !== "cover" ||
    priority.value !== "normal";
  document.getElementById("drop").dataset.fit = form.elements.fit.value;
  document.getElementById("written").textContent = form.elements.prompt.value.slice(0, 60);
}

async function submit() {
  calm();
  const files = photographs();
  if (!files.length && !form.elements.photograph_of.value) {
    complain("Choose a photograph first.");
    document.getElementById("image").focus();
    return;
  }
  clearTimeout(saving);
  await keep({ fields: fields(), files });
  busy(true);
  try {
    await sendAll(files.length ? files : [null]);
  } finally {
    busy(false);
  }
}

// One request for each photograph: what is on its way stays so where a later one is refused.
async function sendAll(files) {
  for (const [at, file] of files.entries()) {
    const answer = await send(form, file, { at, of: files.length });
    if (!answer) {
      complain("The service cannot be reached. What you typed is kept; try again in a moment.");
      return;
    }
    const page = pageOf(answer.text, answer.url, answer.status);
    if (page === null) {
      loginNeeded();
      return;
    }
    if (answer.status >= 400) {
      refuse(page, answer.text, files.slice(at));
      return;
    }
    if (at === files.length - 1) await done(answer.url, files.length);
  }
}

function refuse(page, text, left) {
  if (left[0]) setPhotographs(left);
  complain(complaintOf(page, text) ?? "That did not work.");
  const asked = page.querySelector(".choice.asked") !== null;
  document.getElementById("choice").classList.toggle("asked", asked);
  if (asked) form.querySelector("[name=wording]").focus();
}

async function done(url, count) {
  await forget();
  location.href = count === 1 ? url : "/#clips";
  if (count > 1) location.reload();
}

function busy(yes) {
  const button = document.getElementById("make");
  button.disabled = yes;
  button.querySelector("span").textContent = yes ? "Sending" : "Make the clip";
  document.getElementById("upload").hidden = !yes;
}
