// Shortcuts. None while somebody types, but for sending.

function isTyping(target) {
  return (
    target.closest(
      "textarea, select, input:not([type=radio], [type=checkbox], [type=range]), [contenteditable]",
    ) !== null
  );
}

const ACTIONS = {
  n: () => to("prompt") || (location.href = "/"),
  "/": () => to("q") || (location.href = "/#q"),
  "?": () => document.getElementById("keys")?.showModal(),
  " ": (event) => playOrPause(event),
};

function to(id) {
  const field = document.getElementById(id);
  if (!field) return false;
  if (id === "prompt") document.getElementById("own-words").checked = true;
  field.focus();
  field.scrollIntoView({ block: "center" });
  return true;
}

function playOrPause(event) {
  const player = document.getElementById("player");
  if (!player || event.target.closest("button, a, summary, video, input")) return false;
  if (player.paused) player.play();
  else player.pause();
  return true;
}

export function watchKeys() {
  const dialog = document.getElementById("keys"),
    button = document.getElementById("show-keys");
  if (button && dialog) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      document.getElementById("submit")?.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || dialog?.open)
      return;
    const action = ACTIONS[event.key];
    if (action && action(event) !== false) event.preventDefault();
  });
}
