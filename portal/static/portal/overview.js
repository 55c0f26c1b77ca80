// The overview's two charts: payments a minute, and how much of its limit each participant used in the last half hour.
(function () {
  "use strict";
  const TONES = ["#2a9d8f", "#e07a3f", "#5b7fd1", "#b85c9e", "#8a9a3b", "#c94f4f", "#5d6b75", "#d1a52a"];
  const volumeBox = document.getElementById("volume");
  const usedBox = document.getElementById("used");
  let volume = null;
  let used = null;
  let usedNames = "";

  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink-soft").trim();
  const line = () => getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  const HOURS = { hour: "2-digit", minute: "2-digit" };
  // As all times of the portal, in the time zone of the user's account. The browser can be in another zone.
  function hoursIn(timeZone) {
    try {
      return new Intl.DateTimeFormat("en-GB", { ...HOURS, timeZone });
    } catch {  // this browser does not know the zone, so the times name theirs
      return new Intl.DateTimeFormat("en-GB", { ...HOURS, timeZone: "UTC", timeZoneName: "short" });
    }
  }
  const hours = hoursIn(volumeBox.dataset.timeZone);
  const clock = (_chart, moments) => moments.map((at) => hours.format(at * 1000));
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const numbers = (_chart, values) => values.map((value) => (value === null ? "" : number.format(value)));
  const axis = () => ({ stroke: ink(), grid: { stroke: line(), width: 1 }, ticks: { stroke: line(), width: 1 } });

  function chart(box, series, rows, range) {
    const options = {
      width: box.clientWidth, height: 220, series: [{}, ...series], axes: [{ ...axis(), values: clock }, { ...axis(), values: numbers }],
      scales: { y: { range } }, legend: { live: false }, cursor: { drag: { x: false, y: false } },
    };
    return new uPlot(options, rows, box);
  }

  function drawVolume(minutes) {
    const rows = [0, 1, 2, 3].map((column) => minutes.map((minute) => minute[column]));
    if (volume) { volume.setData(rows); return; }
    const names = [volumeBox.dataset.arrived, volumeBox.dataset.committed, volumeBox.dataset.aborted];
    const tones = [TONES[2], TONES[0], TONES[5]];
    const series = names.map((label, number) => ({ label, stroke: tones[number], width: 2 }));
    volume = chart(volumeBox, series, rows, (_chart, _low, high) => [0, Math.max(5, high * 1.1)]);
  }

  function drawUsed(lines, minutes) {
    const rows = [minutes.map((minute) => minute[0]), ...lines.map((each) => [...each.minutes, each.now])];
    const names = lines.map((each) => each.label).join("|");
    if (used && usedNames === names) { used.setData(rows); return; }
    used?.destroy();
    usedNames = names;
    const series = lines.map((each, number) => ({ label: each.label, stroke: TONES[number % TONES.length], width: 2, spanGaps: true }));
    used = chart(usedBox, series, rows, () => [0, 100]);
  }

  function draw() {
    const text = document.getElementById("figures")?.dataset.chart;
    if (!text || typeof uPlot === "undefined") return;
    const figures = JSON.parse(text);
    drawVolume(figures.minutes);
    drawUsed(figures.used, figures.minutes);
  }

  function again() {
    volume?.destroy(); used?.destroy(); volume = used = null;
    draw();
  }

  draw();
  document.addEventListener("htmx:afterSettle", draw);
  document.addEventListener("theme", again);
  new ResizeObserver(() => {
    for (const [plot, box] of [[volume, volumeBox], [used, usedBox]]) plot?.setSize({ width: box.clientWidth, height: 220 });
  }).observe(volumeBox);
})();
