// Errors in the page's own words and frame, and news for screen readers.

export function complain(sentence, link) {
  const place = document.getElementById("trouble"),
    line = document.createElement("p");
  line.className = "error";
  line.append(sentence);
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.words;
    line.append(" ", anchor);
  }
  place.replaceChildren(line);
  place.scrollIntoView({ block: "nearest" });
}

export function calm() {
  document.getElementById("trouble").replaceChildren();
}

export function tell(sentence) {
  const news = document.getElementById("news");
  if (news.textContent !== sentence) news.textContent = sentence;
}

export function loginNeeded() {
  const here = location.pathname + location.search;
  complain("You were logged out. What you typed and the photograph are kept.", {
    href: `/login?next=${encodeURIComponent(here)}`,
    words: "Log in again",
  });
}

// The page that a form or a look-up was answered with; null where that is the login.
export function pageOf(text, url) {
  if (new URL(url, location.href).pathname === "/login") return null;
  return new DOMParser().parseFromString(text, "text/html");
}

export function complaintOf(page) {
  return page.querySelector("#trouble .error, .problem [role=alert]")?.textContent.trim();
}
