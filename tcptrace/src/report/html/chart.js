
// Half-closed sockets over time, stacked.
(function chart() {
  const here = document.getElementById("chart-here");
  if (!here) return;
  const { series, times, ticks, gaps, peak, step, length } = data.chart;
  const steps = times.length - 1;
  const start = (k) => Math.min((k * step) / length, 1);
  const lengthOf = (k) => (start(k + 1) - start(k)) * length;
  const shown = series.map(() => true);
  const colour = (i) => `s${series[i].verdict ? i : 8}`;
  let cursor = null;
  let at = null;

  const plot = make("div");
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const values = series.map(() => make("em"));
  const legend = make("ul", { class: "legend" }, ...series.map(entry));
  here.append(plot, readout, legend);
  onWidth(plot, render);
  addEventListener("beforeprint", () => render(1000));
  addEventListener("afterprint", () => render(plot.clientWidth));

  function entry(line, i) {
    const verdict = line.verdict ? make("em", {}, line.verdict) : "";
    const name = make("span", {}, line.name, " ", verdict);
    const button = make("button", { type: "button", "aria-pressed": "true" }, make("i"), name, values[i]);
    button.addEventListener("click", () => {
      shown[i] = !shown[i];
      button.setAttribute("aria-pressed", shown[i]);
      render(plot.clientWidth);
    });
    return make("li", { class: colour(i) }, button);
  }

  function nice(most) {
    const power = 10 ** Math.floor(Math.log10(Math.max(most, 1) / 4));
    const unit = [1, 2, 5, 10].map((n) => n * power).find((n) => most / n <= 4.5) || power * 10;
    return Math.max(unit, 1);
  }

  function render(width) {
    const height = width < 600 ? 210 : 280;
    const [left, right, top, bottom] = [46, 14, 24, 22];
    const sums = Array(steps).fill(0);
    series.forEach((line, i) => {
      if (shown[i]) line.values.forEach((value, k) => (sums[k] += value));
    });
    const most = Math.max(...sums, 1);
    const unit = nice(most);
    const high = Math.ceil(most / unit) * unit;
    const x = (part) => left + part * (width - left - right);
    const y = (value) => top + (1 - value / high) * (height - top - bottom);
    const svg = draw("svg", {
      class: "plot", viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "group",
      "aria-label": "Half-closed sockets over time. Left and right move through time.",
    });
    const hatch = draw("path", { class: "hatch", d: "M0 6 6 0" });
    svg.append(draw("defs", {}, draw("pattern",
      { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, hatch)));
    for (let value = 0; value <= high; value += unit) {
      svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      svg.append(draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, count(value)));
    }
    areas(svg, x, y);
    for (const gap of gaps) {
      const wide = Math.max(x(gap.to) - x(gap.from), 3);
      const box = { class: "gap", x: x(gap.from), y: top, width: wide, height: height - top - bottom };
      svg.append(draw("rect", box, draw("title", {}, gap.text)));
    }
    axis(svg, x, y(0), width);
    captions(svg, x, top - 10, width);
    cursor = draw("line", { class: "cursor", y1: top, y2: y(0), visibility: "hidden" });
    svg.append(cursor);
    const move = (event) => {
      const box = svg.getBoundingClientRect();
      const part = ((event.clientX - box.left) * (width / box.width) - left) / (width - left - right);
      point(part < 0 || part > 1 ? null : Math.min(Math.floor((part * length) / step), steps - 1), x);
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", () => point(null, x));
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (event.key === "Escape") point(null, x);
      if (!by) return;
      event.preventDefault();
      point(at === null ? 0 : Math.min(Math.max(at + by, 0), steps - 1), x);
    });
    const focused = plot.contains(document.activeElement);
    plot.replaceChildren(svg);
    if (focused) svg.focus();
    point(at, x);
  }

  function areas(svg, x, y) {
    const base = Array(steps).fill(0);
    series.forEach((line, i) => {
      if (!shown[i]) return;
      const above = [];
      const below = [];
      line.values.forEach((value, k) => {
        const [from, to] = [x(start(k)).toFixed(1), x(start(k + 1)).toFixed(1)];
        const [low, up] = [y(base[k]).toFixed(1), y(base[k] + value).toFixed(1)];
        above.push(`${from} ${up} ${to} ${up}`);
        below.push(`${to} ${low} ${from} ${low}`);
        base[k] += value;
      });
      svg.append(draw("path", { class: `area ${colour(i)}`, d: `M${above.join(" ")} ${below.reverse().join(" ")}Z` }));
    });
  }

  function axis(svg, x, bottom, width) {
    svg.append(draw("line", { class: "axis", x1: x(0), x2: x(1), y1: bottom, y2: bottom }));
    let free = 0;
    for (const tick of ticks) {
      const half = tick.text.length * 3.2;
      const middle = Math.min(Math.max(x(tick.at), half), width - half);
      svg.append(draw("line", { class: "axis", x1: x(tick.at), x2: x(tick.at), y1: bottom, y2: bottom + 4 }));
      if (middle - half < free) continue;
      free = middle + half + 10;
      svg.append(draw("text", { x: middle, y: bottom + 17, "text-anchor": "middle" }, tick.text));
    }
  }

  // Above the plot: the peak, and why there are gaps, the widest first, where there is room.
  function captions(svg, x, line, width) {
    const taken = [];
    const write = (text, middle, style) => {
      const half = text.length * 3.1 + 5;
      const place = Math.min(Math.max(middle, half), width - half);
      if (taken.some(([from, to]) => place - half < to && place + half > from)) return;
      taken.push([place - half, place + half]);
      svg.append(draw("text", { class: style, x: place, y: line, "text-anchor": "middle" }, text));
    };
    if (peak && shown.every(Boolean)) {
      svg.append(draw("path", { class: "peak", d: `M${x(peak.at)} ${line + 9}l-4 -5h8z` }));
      write(peak.text, x(peak.at), "peak");
    }
    const widest = [...gaps].sort((a, b) => b.to - b.from - (a.to - a.from));
    for (const gap of widest) {
      const text = gap.text.length > 40 ? `${gap.text.slice(0, 39)}…` : gap.text;
      write(text, (x(gap.from) + x(gap.to)) / 2, "why-gap");
    }
  }

  // What there was in one step; all of the time if there is none.
  function point(k, x) {
    at = k;
    if (k === null) {
      cursor.setAttribute("visibility", "hidden");
      readout.replaceChildren(`${times[0]} to ${times[steps]}, in socket-seconds. A click on a name hides it.`);
      series.forEach((line, i) => {
        values[i].textContent = count(line.values.reduce((sum, value, n) => sum + value * lengthOf(n), 0));
      });
      return;
    }
    const middle = x((start(k) + start(k + 1)) / 2);
    set(cursor, { x1: middle, x2: middle, visibility: "visible" }, []);
    const total = series.reduce((sum, line, i) => sum + (shown[i] ? line.values[k] : 0), 0);
    const covered = gaps.filter((gap) => gap.from < start(k + 1) && gap.to >= start(k));
    const why = covered.length ? `; ${[...new Set(covered.map((gap) => gap.text))].join("; ")}` : "";
    readout.replaceChildren(make("b", {}, `${decimal(total)} sockets`), ` from ${times[k]} to ${times[k + 1]}${why}`);
    series.forEach((line, i) => (values[i].textContent = decimal(line.values[k])));
  }
})();
