// Times in the reader's own zone and words; pictures that could not be had make room for the icon.

const DAY = 86400000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  year: "numeric",
});

function words(at) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (at >= midnight && at < midnight + DAY) return `today, ${clock.format(at)}`;
  if (at >= midnight - DAY && at < midnight) return `yesterday, ${clock.format(at)}`;
  return `${date.format(at)}, ${clock.format(at)}`;
}

export function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = words(at);
    time.title = at.toLocaleString();
  }
  for (const image of root.querySelectorAll("img[data-picture]")) {
    image.addEventListener("error", () => {
      image.hidden = true;
    });
    if (image.complete && image.src && !image.naturalWidth) image.hidden = true;
  }
}

export const still = matchMedia("(prefers-reduced-motion: reduce)");
