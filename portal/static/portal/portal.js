// The little that pages do by themselves: theme, copying, times that tick, polls that do not keep a session awake.
(function () {
  "use strict";
  const root = document.documentElement;

  document.getElementById("theme")?.addEventListener("click", () => {
    root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.bsTheme); } catch { /* then it lasts as long as the page */ }
    document.dispatchEvent(new CustomEvent("theme"));
  });

  // An invitation's link carries its secret behind the #, which no server and no log sees: into the form with it.
  const token = document.querySelector("[data-from-fragment]");
  if (token) {
    if (location.hash.length > 1) token.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    if (token.value) document.getElementById("div_id_token").hidden = true;
  }

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.hasAttribute("data-polls")) event.detail.headers["HX-Polling"] = "true";
  });

  // A page that nobody looks at does not ask.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-polls")) event.preventDefault();
  });

  const stale = document.getElementById("stale");
  document.addEventListener("htmx:sendError", () => stale?.removeAttribute("hidden"));
  document.addEventListener("htmx:responseError", () => stale?.removeAttribute("hidden"));
  document.addEventListener("htmx:afterOnLoad", () => stale?.setAttribute("hidden", ""));

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard?.writeText(button.dataset.copy);
    const confirmed = event.target.closest("[data-confirm]");
    if (confirmed && !window.confirm(confirmed.dataset.confirm)) event.preventDefault();
  });
})();
