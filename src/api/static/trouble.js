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

// The page that a form or a look-up was answered with; null where that is the login, or says that one is needed.
export function pageOf(text, url, status = 200) {
  if (status === 401 || new URL(url, location.href).pathname === "/login") return null;
  return new DOMParser().parseFromString(text, "text/html");
}

// What the answer complains of: a page tells it in its frame; problems from before any page are JSON with a sentence.
export function complaintOf(page, text) {
  return page.querySelector("#trouble .error, .problem [role=alert]")?.textContent.trim() ?? detailOf(text);
}

function detailOf(text) {
  try {
    return JSON.parse(text).detail ?? null;
  } catch {
    return null;
  }
}
