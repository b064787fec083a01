"use strict";
(() => {
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const $ = (id) => document.getElementById(id);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Okabe-Ito colours for single quantities, dark to light for sizes; brighter colours on a dark page
  const palette = () => dark.matches
    ? { ink: "#d5d8dc", grid: "#33373d", edge: "#b0b6bd", blue: "#56b4e9", red: "#ff8a4c", green: "#2fcf9f", purple: "#e39dc0", sizes: ["#b79df0", "#6cb8e6", "#3fd0a8", "#b8dc55", "#f4e04d"] }
    : { ink: "#333a42", grid: "#e4e6e9", edge: "#6b7178", blue: "#0072b2", red: "#d55e00", green: "#009e73", purple: "#a8487a", sizes: ["#440154", "#3b528b", "#21908d", "#5ac864", "#a8b91f"] };
  const plots = {};
  const short = (value) => (value == null ? "–" : String(Number(value.toPrecision(4))));

  function draw(id, options, data) {
    const box = $(id), colours = palette();
    if (plots[id]) plots[id].destroy();
    const axis = { stroke: colours.ink, grid: { stroke: colours.grid }, ticks: { stroke: colours.grid } };
    options.width = box.clientWidth;
    options.axes = options.axes.map((own) => ({ ...axis, ...own }));
    plots[id] = new uPlot(options, data, box);
  }

  function fill(select, entries) {
    const before = select.value;
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
    if (entries.some(([value]) => String(value) === before)) select.value = before;
  }

  function drawSuccess() {
    const table = numbers.success, group = Number($("group").value), budget = Number($("budget").value);
    const colours = palette();
    $("budget-value").textContent = "t ≤ " + short(table.budget[budget]);
    const data = [table.alpha], series = [{ label: "alpha", value: (_, v) => short(v) }], bands = [];
    table.N.forEach((N, row) => {
      const position = table.N.length > 1 ? row / (table.N.length - 1) : 0;
      const colour = colours.sizes[Math.round(position * (colours.sizes.length - 1))];
      const low = table.lower[group][budget][row], high = table.upper[group][budget][row];
      const at = data.length;
      data.push(high, low, table.p[group][budget][row]);
      // lines connect across an alpha that was not run at this N
      const edge = { stroke: "transparent", points: { show: false }, spanGaps: true, class: "interval" };
      series.push({ ...edge, label: "upper" }, { ...edge, label: "lower" }, {
        label: "N = " + N, stroke: colour, width: 2, spanGaps: true, points: { show: true, size: 6, fill: colour },
        value: (plot, v, s, i) => (v == null || i == null ? "–" : `${v.toFixed(3)} [${low[i].toFixed(3)}, ${high[i].toFixed(3)}]`),
      });
      bands.push({ series: [at, at + 1], fill: colour + "2a" });
    });
    draw("success-plot", {
      title: "P(recovery) against alpha", height: 340, series, bands,
      scales: { x: { time: false }, y: { range: [-0.03, 1.03] } },
      axes: [{ label: "signal-to-noise ratio alpha = M / N" }, { label: "P(recovery)" }],
    }, data);
    document.querySelectorAll("#success-plot .u-legend .interval").forEach((row) => row.remove());
  }

  function cellsOf() {
    const group = Number($("group").value);
    return numbers.runs.filter((cell) => cell.group === group);
  }
  function chosenCell() {
    return cellsOf().find((cell) => String(cell.N) === $("size").value && String(cell.alpha) === $("alpha").value);
  }
  function chooseSize() {
    fill($("size"), [...new Set(cellsOf().map((cell) => cell.N))].map((N) => [N, N]));
    chooseAlpha();
  }
  function chooseAlpha() {
    const cells = cellsOf().filter((cell) => String(cell.N) === $("size").value);
    fill($("alpha"), cells.map((cell) => [cell.alpha, cell.alpha]));
    chooseRun();
  }
  function chooseRun() {
    const cell = chosenCell();
    if (!cell) return;
    fill($("run"), cell.runs.map((run, i) => [i, `instance ${run.instance}, start ${run.start}: ${run.fate}`]));
    drawRun();
  }

  // vertical lines at t_BBP and at the recovery
  function marks(run, colours) {
    return (plot) => {
      const draw = plot.ctx;
      [[run.t_bbp, colours.purple], [run.recovery_time, colours.green]].forEach(([time, colour]) => {
        if (time == null || time <= 0) return;
        const x = plot.valToPos(time, "x", true), { top, height, left, width } = plot.bbox;
        if (x < left || x > left + width) return;
        draw.save();
        draw.strokeStyle = colour;
        draw.lineWidth = 1.5 * devicePixelRatio;
        draw.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
        draw.beginPath();
        draw.moveTo(x, top);
        draw.lineTo(x, top + height);
        draw.stroke();
        draw.restore();
      });
    };
  }

  function drawRun() {
    const cell = chosenCell(), run = cell && cell.runs[Number($("run").value)];
    if (!run) return;
    const colours = palette();
    const first = cell.time.findIndex((t) => t > 0); // no t = 0 on a logarithmic axis
    const from = (values) => values.slice(first);
    const time = from(cell.time), value = (_, v) => short(v);
    const line = (label, colour) => ({ label, stroke: colour, width: 2, value, points: { show: false } });
    const x = { label: "t", value };
    const shared = (title, log) => ({
      title, height: 210, cursor: { sync: { key: "run" } }, hooks: { draw: [marks(run, colours)] },
      scales: { x: { time: false, distr: 3 }, y: log ? { distr: 3 } : {} },
      axes: [{ values: (_, ticks) => ticks.map((t) => (t && Math.abs(Math.log10(t) % 1) < 1e-9 ? short(t) : "")) },
        { size: 64, values: (_, ticks) => ticks.map((t) => (t == null ? "" : short(t))) }],
    });
    const overlap = shared("Overlap |m|", false);
    overlap.scales.y = { range: [-0.02, 1.02] };
    overlap.series = [x, line("|m|", colours.blue)];
    draw("overlap-plot", overlap, [time, from(run.overlap).map((m) => (m == null ? null : Math.abs(m)))]);
    const loss = shared("Loss per dimension", true);
    loss.series = [x, line("loss", colours.red)];
    draw("loss-plot", loss, [time, from(run.loss).map((v) => (v > 0 ? v : null))]);
    const hessian = shared("Predicted edge and outlier of the Hessian, against time t", false);
    hessian.series = [x, { ...line("edge", colours.edge), dash: [6, 4] }, line("outlier", colours.red)];
    draw("hessian-plot", hessian, [time, from(run.edge), from(run.outlier)]);
    const never = run.outlier_lasts ? "the predicted outlier lasts to the end" : "there is never a predicted outlier";
    const bbp = run.t_bbp == null ? never : `t_BBP = ${short(run.t_bbp)}`;
    const ended = run.recovery_time == null ? run.fate : `recovered at t = ${short(run.recovery_time)}`;
    $("run-summary").textContent =
      `N = ${cell.N}, alpha = ${cell.alpha}, instance ${run.instance}, start ${run.start}: ${ended}; ${bbp}.`;
  }

  function all() {
    drawSuccess();
    drawRun();
  }

  fill($("group"), numbers.groups.map((name, i) => [i, name]));
  $("group-label").hidden = numbers.groups.length < 2;
  $("budget").max = numbers.success.budget.length - 1;
  $("budget").value = numbers.success.budget.length - 1;
  $("budget").addEventListener("input", drawSuccess);
  $("group").addEventListener("change", () => { drawSuccess(); chooseSize(); });
  $("size").addEventListener("change", chooseAlpha);
  $("alpha").addEventListener("change", chooseRun);
  $("run").addEventListener("change", drawRun);
  dark.addEventListener("change", all);
  let waiting;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(all, 150); });
  drawSuccess();
  chooseSize();
  // initially show a run that loses its outlier, at the largest N and an alpha with recovered and other runs
  const both = cellsOf().filter((cell) => new Set(cell.runs.map((run) => run.fate)).size > 1);
  const withLoss = both.filter((cell) => cell.runs.some((run) => run.t_bbp != null));
  const opening = withLoss.filter((cell) => cell.N === Math.max(...withLoss.map((c) => c.N)));
  if (opening.length) {
    const cell = opening[Math.floor((opening.length - 1) / 2)];
    $("size").value = cell.N;
    chooseAlpha();
    $("alpha").value = cell.alpha;
    chooseRun();
    $("run").value = cell.runs.findIndex((run) => run.t_bbp != null);
    drawRun();
  }
})();
