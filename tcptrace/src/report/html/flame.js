
// The flame graph: the root on top, only what can be seen is in the document.
(function flame() {
  const here = document.getElementById("flame-here");
  if (!here) return;
  const ROW = 19;
  const MOST = 5000;
  const { names, kinds, nodes: rows, baseline, left_out } = data.flame;
  const nodes = rows.map(([name, kind, parent, time, sockets, timeBefore = 0, socketsBefore = 0], id) => ({
    id, name: names[name], kind: kinds[kind], parent, children: [], depth: 0,
    time: [time / 1000, timeBefore / 1000], sockets: [sockets, socketsBefore],
  }));
  nodes.slice(1).forEach((node) => {
    nodes[node.parent].children.push(node);
    node.depth = nodes[node.parent].depth + 1;
  });
  const root = nodes[0];
  let measure = root.time[0] + root.time[1] > 0 ? "time" : "sockets";
  let zoomed = root;
  let sought = "";
  let places = new Map();

  // Against a baseline a frame is as wide as both together, so that what is gone can be seen.
  const width = (node) => node[measure][0] + node[measure][1];
  const said = {
    time: (n) => `${decimal(n)} socket-seconds`,
    sockets: (n) => `${count(n)} sockets`,
  };

  const about = make("p", { class: "about" });
  const box = make("div", { class: "flame", role: "tree", "aria-label": "Flame graph" });
  const search = make("input", { type: "search", placeholder: "Search frames", "aria-label": "Search frames", maxlength: 200 });
  const found = make("output");
  const out = make("button", { type: "button" }, "Zoom out");
  const byTime = make("button", { type: "button" }, "Socket-time");
  const bySockets = make("button", { type: "button" }, "Sockets");
  here.append(make("div", { class: "tools" }, search, byTime, bySockets, out, found), about, box);
  if (left_out) {
    here.append(make("p", { class: "none" }, `${count(left_out)} more frames, narrower than these, are left out.`));
  }

  search.addEventListener("input", () => { sought = search.value.trim().toLowerCase(); render(); });
  out.addEventListener("click", () => zoom(root));
  byTime.addEventListener("click", () => weigh("time"));
  bySockets.addEventListener("click", () => weigh("sockets"));
  box.addEventListener("click", (event) => { const node = of(event); if (node) zoom(node); });
  box.addEventListener("mouseover", (event) => tell(of(event) || zoomed));
  box.addEventListener("mouseleave", () => tell(zoomed));
  box.addEventListener("focusin", (event) => tell(of(event) || zoomed));
  box.addEventListener("keydown", key);
  addEventListener("beforeprint", () => render(1000));
  addEventListener("afterprint", () => render());
  onWidth(box, () => render());
  weigh(measure);

  function of(event) {
    const element = event.target.closest("[data-id]");
    return element && nodes[element.dataset.id];
  }

  function weigh(by) {
    measure = by;
    byTime.setAttribute("aria-pressed", by === "time");
    bySockets.setAttribute("aria-pressed", by === "sockets");
    nodes.forEach((node) => node.children.sort((a, b) => width(b) - width(a)));
    render();
  }

  function zoom(node) {
    const focused = box.contains(document.activeElement);
    zoomed = node;
    render();
    tell(node);
    if (focused && places.has(node.id)) places.get(node.id).focus();
  }

  function matches(node) {
    return sought !== "" && node.name.toLowerCase().includes(sought);
  }

  // Everything wider than `least` pixels: [node, left, width, frames that were too narrow].
  function visible(pixels, least) {
    const seen = [];
    for (let node = zoomed; node !== root; node = nodes[node.parent]) seen.push([nodes[node.parent], 0, 1, 0]);
    const due = [[zoomed, 0, 1]];
    while (due.length > 0 && seen.length <= MOST) {
      const [node, left, part] = due.pop();
      seen.push([node, left, part, 0]);
      const scale = width(node) > 0 ? part / width(node) : 0;
      let x = left;
      for (const [i, child] of node.children.entries()) {
        const w = width(child) * scale;
        if (w * pixels < least) {
          // They are sorted: all that follow are as narrow.
          const rest = node.children.slice(i).reduce((sum, other) => sum + width(other) * scale, 0);
          if (rest * pixels >= 1) seen.push([node, x, rest, node.children.length - i]);
          break;
        }
        due.push([child, x, w]);
        x += w;
      }
    }
    return seen;
  }

  function render(pixels = box.clientWidth) {
    if (pixels === 0) return;
    let least = 1.5;
    let seen = visible(pixels, least);
    while (seen.length > MOST) seen = visible(pixels, (least *= 2));
    places = new Map();
    let deepest = 0;
    const elements = seen.map(([node, left, part, narrow]) => {
      const depth = node.depth + (narrow ? 1 : 0);
      deepest = Math.max(deepest, depth);
      const element = narrow ? rest(narrow) : frame(node, part * pixels);
      element.style.left = `${left * 100}%`;
      element.style.width = `${part * 100}%`;
      element.style.top = `${depth * ROW}px`;
      return element;
    });
    box.replaceChildren(...elements);
    box.style.height = `${(deepest + 1) * ROW}px`;
    out.disabled = zoomed === root;
    places.get(zoomed.id).tabIndex = 0;
    summary();
    tell(zoomed);
  }

  function rest(narrow) {
    return make("div", { class: "frame rest", title: `${count(narrow)} narrower frames: zoom in` });
  }

  function frame(node, pixels) {
    const look = { function: `t${node.name.length % 3}`, note: "note", verdict: "verdict" }[node.kind] || "who";
    const classes = ["frame", look];
    if (pixels < 24) classes.push("thin");
    if (node.depth < zoomed.depth) classes.push("above");
    if (sought) classes.push(matches(node) ? "hit" : "miss");
    const element = make("div", {
      class: classes.join(" "), role: "treeitem", tabindex: -1, "data-id": node.id,
      "aria-level": node.depth + 1, "aria-label": `${node.name}, ${weight(node)}`,
    }, pixels < 24 ? "" : node.name);
    if (baseline && !matches(node)) element.style.background = against(node);
    places.set(node.id, element);
    return element;
  }

  function against(node) {
    const [after, before] = node[measure];
    const share = Math.round((Math.abs(after - before) / Math.max(after + before, 1e-9)) * 100);
    return `color-mix(in oklab, var(--${after > before ? "worse" : "better"}) ${share}%, var(--same))`;
  }

  function weight(node) {
    const [now, before] = node[measure];
    let text = said[measure](now);
    if (measure === "time") text += ` (${age(now)})`;
    if (node !== root) text += `, ${percent(now, root[measure][0])} of all`;
    text += measure === "time" ? `, ${said.sockets(node.sockets[0])}` : `, ${said.time(node.time[0])}`;
    return baseline ? `${text}; before: ${said[measure](before)}` : text;
  }

  function tell(node) {
    about.replaceChildren(make("b", {}, node.name), make("span", {}, `${node.kind}: ${weight(node)}`));
    if (node === root) about.lastChild.textContent = weight(node);
  }

  // What was found, each stretch once although frames above and below may match as well.
  function summary() {
    if (!sought) return found.replaceChildren();
    let [frames, sum] = [0, 0];
    const inside = nodes.map(() => false);
    for (const node of nodes) {
      const within = node !== root && inside[node.parent];
      if (matches(node)) {
        frames += 1;
        if (!within) sum += node[measure][0];
      }
      inside[node.id] = within || matches(node);
    }
    found.textContent = `${count(frames)} frames, ${said[measure](sum)}, ${percent(sum, root[measure][0])}`;
  }

  function key(event) {
    const node = of(event);
    if (!node) return;
    const beside = node === root ? [node] : nodes[node.parent].children.filter((one) => places.has(one.id));
    const position = beside.indexOf(node);
    const to = {
      ArrowUp: () => nodes[node.parent],
      ArrowDown: () => node.children.find((child) => places.has(child.id)),
      ArrowLeft: () => beside[position - 1],
      ArrowRight: () => beside[position + 1],
      Home: () => root,
    }[event.key];
    if (to) {
      const target = to();
      if (target) places.get(target.id).focus();
    } else if (event.key === "Enter" || event.key === " ") {
      zoom(node);
    } else if (event.key === "Escape") {
      zoom(nodes[zoomed.parent]);
    } else {
      return;
    }
    event.preventDefault();
  }
})();
