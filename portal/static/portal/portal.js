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

  // What a person has opened or closed stays so when a poll replaces it.
  let shown = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    shown = [...event.detail.target.querySelectorAll("details[id]")].map((each) => [each.id, each.open]);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const [id, isOpen] of shown) {
      const found = document.getElementById(id);
      if (found) found.open = isOpen;
    }
    shown = [];
  });

  const stale = document.getElementById("stale");
  document.addEventListener("htmx:sendError", () => stale?.removeAttribute("hidden"));
  document.addEventListener("htmx:responseError", () => stale?.removeAttribute("hidden"));
  document.addEventListener("htmx:afterOnLoad", () => stale?.setAttribute("hidden", ""));

  // On a phone a row of a list becomes a card (portal.css), so each cell says what it is. The roles stay those of a table.
  function labelCells() {
    for (const table of document.querySelectorAll(".table-box > table.table")) {
      const heads = [...table.querySelectorAll(":scope > thead th")].map((head) => [...head.childNodes].map((part) => part.textContent.trim()).filter(Boolean).join(" "));
      if (!heads.length) continue;
      table.classList.add("cards");
      table.setAttribute("role", "table");
      for (const part of table.querySelectorAll(":scope > thead, :scope > tbody, :scope > tfoot")) part.setAttribute("role", "rowgroup");
      for (const row of table.rows) {
        row.setAttribute("role", "row");
        let column = 0;
        for (const cell of row.cells) {
          const isHead = cell.tagName === "TH";
          cell.setAttribute("role", isHead ? (cell.scope === "row" ? "rowheader" : "columnheader") : "cell");
          if (!isHead && heads[column] && cell.colSpan === 1 && cell.textContent.trim()) cell.dataset.label = heads[column];
          if (cell.classList.contains("id") && !cell.title) cell.title = cell.textContent.trim();
          column += cell.colSpan;
        }
      }
    }
  }
  labelCells();
  document.addEventListener("htmx:afterSettle", labelCells);

  // What somebody typed into a step stays in this tab until the step is submitted, even if another page was opened.
  const draft = document.querySelector("form[data-draft]");
  if (draft) {
    const key = `draft ${document.body.dataset.person} ${draft.dataset.draft}`;
    const fields = () => [...draft.elements].filter((field) => field.name && field.type !== "hidden" && field.type !== "file");
    try {
      const kept = draft.dataset.answered ? null : sessionStorage.getItem(key);
      for (const [name, value] of Object.entries(JSON.parse(kept) ?? {})) {
        const field = draft.elements.namedItem(name);
        if (field && "value" in field) field.value = value;
      }
      draft.addEventListener("input", () => sessionStorage.setItem(key, JSON.stringify(Object.fromEntries(fields().map((field) => [field.name, field.value])))));
      draft.addEventListener("submit", () => sessionStorage.removeItem(key));
    } catch { /* without a store nothing is kept */ }
  }
  for (const form of document.querySelectorAll("form[data-forgets]")) {
    form.addEventListener("submit", () => {
      try {
        for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft ")) sessionStorage.removeItem(key);
      } catch { /* nothing is kept */ }
    });
  }

  // A double click sends a form once.
  const sent = new WeakSet();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (sent.has(form)) return event.preventDefault();
    sent.add(form);
    setTimeout(() => sent.delete(form), 2000);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard?.writeText(button.dataset.copy);
    const confirmed = event.target.closest("[data-confirm]");
    if (confirmed && !window.confirm(confirmed.dataset.confirm)) event.preventDefault();
  });
})();
