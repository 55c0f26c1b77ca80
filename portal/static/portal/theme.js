// Before the first paint: the theme that was chosen here, else the one of the device.
(function () {
  "use strict";
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* storage may be closed to us */ }
  const device = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.bsTheme = chosen === "dark" || chosen === "light" ? chosen : device;
})();
