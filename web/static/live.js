// Keeps the screen current: the server sends the parts that have changed, each under the id of its element.
const screen = document.querySelector("[data-live]");
const offline = document.getElementById("offline");

function show(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const held = document.activeElement;
  const inside = held && held !== element && element.contains(held) ? held : null;
  // A list that somebody is choosing from, or a button they are about to press, stays under their fingers.
  if (inside?.tagName === "SELECT") return;
  const path = inside?.id || inside?.getAttribute("href");
  element.innerHTML = html;
  if (path) {
    const again = [...element.querySelectorAll("[id], [href]")].find((one) => one.id === path || one.getAttribute("href") === path);
    (again ?? element.querySelector("button, a[href]"))?.focus({ preventScroll: true });
  }
  element.dispatchEvent(new CustomEvent("page:changed", { bubbles: true }));
}

function follow(address) {
  const source = new EventSource(address);
  source.addEventListener("parts", (event) => {
    const { title, ...parts } = JSON.parse(event.data);
    if (title) document.title = title;
    for (const [id, html] of Object.entries(parts)) show(id, html);
  });
  source.addEventListener("open", () => { offline.hidden = true; });
  source.addEventListener("error", () => {
    offline.hidden = false;
    // The server refused for good, as when the session has ended: the page itself tells what to do.
    if (source.readyState === EventSource.CLOSED) {
      offline.textContent = "Not live any more. Load the page again to go on.";
    }
  });
  return source;
}

if (screen) {
  let source = follow(screen.dataset.live);
  // A page kept for the back button must not hold its connection.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) source = follow(screen.dataset.live); });
}
