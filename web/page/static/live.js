// Keeps the screen current: the server sends the parts that have changed, each under the id of its element.
const screen = document.querySelector("[data-live]");
const offline = document.getElementById("offline");
const RETRY_MS = 5000;

// What has come for an element while the user was choosing from a list in it; shown when they leave it.
const held = new Map();

function show(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  if (focused?.tagName === "SELECT") {
    held.set(id, html);
    return;
  }
  held.delete(id);
  const place = focused && { id: focused.id, href: focused.getAttribute("href") };
  element.innerHTML = html;
  if (place) {
    // The keyboard stays where it was, or as near as the new content has something to hold it.
    const targets = [...element.querySelectorAll("a[href], button, select, [tabindex]")];
    const same = targets.find((one) => (place.id ? one.id === place.id : place.href && one.getAttribute("href") === place.href));
    (same ?? targets[0])?.focus({ preventScroll: true });
  }
  element.dispatchEvent(new CustomEvent("page:changed", { bubbles: true }));
}

document.addEventListener("focusout", () => setTimeout(() => held.forEach((html, id) => show(id, html))));

function say(text) {
  offline.hidden = !text;
  if (offline.textContent !== text) offline.textContent = text;
}

let source = null;
let timer = 0;

function follow() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource(screen.dataset.live);
  source.addEventListener("parts", (event) => {
    say("");
    const { title, ...parts } = JSON.parse(event.data);
    if (title) document.title = title;
    for (const [id, html] of Object.entries(parts)) show(id, html);
  });
  source.addEventListener("away", () => say("Not live: the ledger does not answer. Trying again…"));
  source.addEventListener("ended", () => {
    stop();
    say("Not live any more: load the page again.");
  });
  source.addEventListener("error", () => {
    say("Not live: the connection is lost. Trying again…");
    // After an answer that is no stream, such as 503, browsers give up; a server that starts again answers so.
    if (source?.readyState === EventSource.CLOSED) timer = setTimeout(follow, RETRY_MS);
  });
}

function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

if (screen?.dataset.live) {
  // Browsers hold few connections to one server: a tab that no one sees gives its own back.
  const whenSeen = () => (document.hidden ? stop() : follow());
  document.addEventListener("visibilitychange", whenSeen);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) whenSeen(); });
  whenSeen();
}
