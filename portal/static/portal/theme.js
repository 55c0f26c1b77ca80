// Before the first paint: the theme that was chosen here, else the one of the device, also when the device changes it.
(function () {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function show() {
    let chosen = null;
    try { chosen = localStorage.getItem("theme"); } catch { /* storage may be closed to us */ }
    const device = dark.matches ? "dark" : "light";
    document.documentElement.dataset.bsTheme = chosen === "dark" || chosen === "light" ? chosen : device;
  }
  show();
  dark.addEventListener("change", () => {
    show();
    document.dispatchEvent(new CustomEvent("theme"));
  });
})();
