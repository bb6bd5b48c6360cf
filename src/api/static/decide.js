// A decision by one key: A approves, R goes to the reason, and there Ctrl+Enter rejects.

export function watchDecision() {
  const form = document.querySelector("form[data-keys]");
  if (!form) return;
  const press = (action) => document.getElementById(`do-${action}`)?.click();
  document.addEventListener("keydown", (event) => {
    const note = form.elements.note;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && note && event.target === note) {
      press("reject");
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    if (event.key === "a") press("approve");
    else if (event.key === "r" && note && document.getElementById("do-reject")) note.focus();
    else return;
    event.preventDefault();
  });
}

// The page of verification takes a file that is dropped anywhere on it.
export function watchCheck() {
  const drop = document.getElementById("drop-file"),
    input = document.getElementById("file");
  if (!drop) return;
  for (const kind of ["dragenter", "dragover"])
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.add("over");
    });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    drop.classList.remove("over");
    input.files = event.dataTransfer.files;
    input.form.requestSubmit();
  });
}
