// What was typed and chosen, kept in this browser until it is sent: it survives a reload, a refused
// form and a login that has run out. Each key has its own, and logging out forgets it.

const NAME = "newsreel",
  STORE = "drafts";
const who = document.querySelector("meta[name=who]")?.content ?? "";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function ask(mode, act) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode),
        request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

// Private windows may keep nothing; then the page works on without drafts.
const quietly = (promise) =>
  promise.catch((error) => {
    console.info("no draft is kept:", error?.name);
  });

export const keep = (draft) => quietly(ask("readwrite", (store) => store.put(draft, who)));
export const forget = () => quietly(ask("readwrite", (store) => store.delete(who)));
export const recall = () => quietly(ask("readonly", (store) => store.get(who)));
